// Elements, tables and the way figures are written. Text always goes in as text: what a gateway or a device says is
// never markup.

export function element(tag, properties = {}, ...children) {
	const e = document.createElement(tag);
	for (const [name, value] of Object.entries(properties)) {
		if (name === "class")
			e.className = value;
		else if (name.startsWith("on"))
			e.addEventListener(name.slice(2), value);
		else if (value !== undefined && value !== false)
			e.setAttribute(name, value === true ? "" : value);
	}
	e.append(...children.filter(child => child !== undefined && child !== null));
	return e;
}

// Puts children in place of what is there, unless nothing changed; a row that had the focus keeps it.
export function show(id, ...children) {
	const place = document.getElementById(id);
	const fresh = element("div", {}, ...children);
	if (place.innerHTML === fresh.innerHTML)
		return;
	const focused = [...place.querySelectorAll(".opens")].indexOf(document.activeElement);
	place.replaceChildren(...fresh.childNodes);
	place.querySelectorAll(".opens")[focused]?.focus({preventScroll: true});
}

export function empty(text) {
	return element("p", {class: "empty"}, text);
}

export function pill(text, kind = "") {
	return element("span", {class: `pill ${kind}`}, text);
}

// columns: [title, class]; rows: arrays of text or elements, or row elements.
export function table(columns, rows) {
	const cell = (tag, column, content) => element(tag, {class: column[1] ?? ""}, content);
	const head = element("tr", {}, ...columns.map(column => cell("th", column, column[0])));
	const body = rows.map(row => row instanceof Element ? row :
		element("tr", {}, ...row.map((content, i) => cell("td", columns[i], content ?? "–"))));
	return element("div", {class: "scroll"},
		element("table", {}, element("thead", {}, head), element("tbody", {}, ...body)));
}

const group = new Intl.NumberFormat("en");

export function count(n) {
	return n < 10000 ? group.format(n) : n < 1e6 ? `${short(n / 1e3)}k` : n < 1e9 ? `${short(n / 1e6)}M` : `${short(n / 1e9)}G`;
}

function short(v) {
	return v >= 100 ? v.toFixed(0) : v >= 10 ? v.toFixed(1) : v.toFixed(2);
}

export function bytes(n) {
	const units = ["B", "KiB", "MiB", "GiB", "TiB"];
	let i = 0;
	for (; n >= 1024 && i < units.length - 1; i++)
		n /= 1024;
	return `${i ? short(n) : n} ${units[i]}`;
}

export function rate(kbps) {
	return kbps < 1000 ? `${Math.round(kbps)} kbit/s` : kbps < 1e6 ? `${short(kbps / 1e3)} Mbit/s` : `${short(kbps / 1e6)} Gbit/s`;
}

export function milliseconds(us) {
	return us < 1000 ? `${us} µs` : us < 1e6 ? `${short(us / 1e3)} ms` : `${short(us / 1e6)} s`;
}

export function percent(ppm) {
	return ppm === 0 ? "0 %" : ppm < 100 ? "< 0.01 %" : `${short(ppm / 1e4)} %`;
}

export function duration(s) {
	if (s < 120)
		return `${Math.round(s)} s`;
	if (s < 7200)
		return `${Math.round(s / 60)} min`;
	return s < 172800 ? `${Math.round(s / 3600)} h` : `${Math.round(s / 86400)} days`;
}

export function ago(ms, now) {
	return ms ? `${duration(Math.max(0, now - ms) / 1000)} ago` : "never";
}
