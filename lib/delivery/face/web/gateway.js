// The gateway beside this manager: paths over time, classes, redundancy, drops, models.
import {bytes, count, element, empty, milliseconds, percent, pill, rate, show, table} from "./dom.js";
import {chart, colors} from "./charts.js";

const KEEP_MS = 15 * 60 * 1000, LEAST_MS = 30 * 1000, DECISIONS_SHOWN = 5;
const SPANS = [["2 min", 120], ["5 min", 300], ["15 min", 900]];
let span_s = 300;
const series = new Map(); // path -> {t_ms, rtt_us, loss_ppm, tx_kbps, rx_kbps}
let shown = {views: {}, now: 0};

export function newestSample() {
	return Math.max(0, ...[...series.values()].map(s => s.t_ms.at(-1) ?? 0));
}

export function addHistory(history) {
	for (const [name, columns] of Object.entries(history.paths)) {
		const s = series.get(name) ?? Object.fromEntries(Object.keys(columns).map(key => [key, []]));
		series.set(name, s);
		for (const key of Object.keys(columns))
			s[key].push(...columns[key]);
	}
	const oldest = newestSample() - KEEP_MS;
	for (const [name, s] of series) {
		const gone = s.t_ms.findIndex(t => t >= oldest);
		for (const key of Object.keys(s))
			s[key].splice(0, gone < 0 ? s[key].length : gone);
		if (!s.t_ms.length)
			series.delete(name);
	}
}

// A manager that started again has forgotten; its clock may be another.
export function forgetHistory() {
	series.clear();
}

function entries(view) {
	return Object.entries(view ?? {});
}

function colorOf(path) {
	return colors[[...series.keys()].indexOf(path) % colors.length] ?? colors.at(-1);
}

function key(path) {
	const e = element("span", {class: "key"});
	e.style.background = colorOf(path);
	return e;
}

// "site-b/fibre" is "fibre" while there is one peer only.
function shortName(path) {
	const peers = new Set([...series.keys()].map(name => name.split("/")[0]));
	return peers.size > 1 ? path : path.split("/").slice(1).join("/") || path;
}

const stateKind = {up: "good", suspect: "warn", probing: "warn", down: "bad"};

function drawCharts(now) {
	const oldest = Math.min(now - LEAST_MS, ...[...series.values()].map(s => s.t_ms[0] ?? now));
	const from = Math.max(now - span_s * 1000, oldest), names = [...series.keys()];
	const lines = member => names.map(name => ({
		name: shortName(name), color: colorOf(name), t: series.get(name).t_ms, v: series.get(name)[member],
	}));
	const draw = (id, member, write, least) =>
		chart(document.getElementById(id), lines(member), from, now, write, least);
	draw("chart-rtt", "rtt_us", v => milliseconds(Math.round(v)), 1000);
	draw("chart-loss", "loss_ppm", v => percent(Math.round(v)), 1000);
	draw("chart-tx", "tx_kbps", rate, 100);
	draw("chart-rx", "rx_kbps", rate, 100);
	document.getElementById("legend").replaceChildren(
		...names.map(name => element("span", {}, key(name), shortName(name))));
}

function lastOf(path, member) {
	return series.get(path)?.[member].at(-1) ?? 0;
}

function showPaths(views) {
	const rows = entries(views.paths).map(([name, p]) => [
		element("span", {class: "line"}, key(name), shortName(name)), pill(p.state, stateKind[p.state]),
		milliseconds(p.rtt_us), milliseconds(p.jitter_us), percent(p.loss_ppm), rate(lastOf(name, "tx_kbps")),
		rate(lastOf(name, "rx_kbps")), `${bytes(p.tx_bytes)} / ${bytes(p.rx_bytes)}`, p.port,
		element("code", {}, p.remote)]);
	show("paths", rows.length ? table([["Path"], ["State"], ["RTT", "number"], ["Jitter", "number optional"],
		["Loss", "number"], ["Sent", "number"], ["Received", "number"], ["Total out / in", "number optional"],
		["Port", "optional"], ["Remote", "optional"]], rows) :
		empty("No path to a peer yet. The gateway makes them when a handshake has been answered: lodectl peer show."));
}

function roleOf(c, path) {
	const bit = 1 << path.id;
	return c.preferred_path === path.id ? "preferred" : parseInt(c.allowed_paths, 16) & bit ? "allowed" :
		parseInt(c.backup_paths, 16) & bit ? "backup" : "";
}

function showClasses(views) {
	const peers = [...new Set(entries(views.classes).map(([name]) => name.split("/")[0]))];
	const parts = peers.flatMap(peer => {
		const paths = entries(views.paths).filter(([name]) => name.startsWith(`${peer}/`)).map(([, p]) => p);
		const rows = entries(views.classes).filter(([name]) => name.startsWith(`${peer}/`)).map(([name, c]) => [
			name.split("/")[1],
			...paths.map(p => element("span", {class: `dot ${roleOf(c, p)}`, title: roleOf(c, p) || "not used"})),
			c.copies > 1 ? `${c.copies} copies` : "1", count(c.queue_pkts)]);
		return [peers.length > 1 ? element("p", {class: "note"}, `to ${peer}`) : null,
			table([["Class"], ...paths.map(p => [p.name, "center"]), ["Sent as", "number"], ["Waiting", "number"]], rows)];
	});
	show("classes", ...(parts.length ? parts : [empty("No peer is connected.")]),
		element("p", {class: "note"}, element("span", {class: "dot preferred"}), " preferred ",
			element("span", {class: "dot allowed"}), " allowed ", element("span", {class: "dot backup"}), " backup"));
}

function showDecisions(views) {
	const rows = entries(views.decisions).slice(0, DECISIONS_SHOWN).map(([, d]) => [element("span", {class: "line",
		title: d.at}, new Date(d.at).toLocaleTimeString([], {hour12: false})), d.class, element("span", {class: "line"},
		`${d.from} → ${d.to}`), element("span", {title: d.values_permille}, d.tipped === "no other" ? d.why : `${d.why}: ${d.tipped}`)]);
	show("decisions", rows.length ? element("p", {class: "note"}, "Latest changes") : null,
		rows.length ? table([["At"], ["Class"], ["Path"], ["Why"]], rows) : null);
}

function showRedundancy(views) {
	const rows = entries(views.fec).map(([name, f]) => [shortName(name), f.means === "none" ? "none" : f.means.replaceAll("+", ", "),
		`${f.redundancy_percent} %`, percent(f.loss_ppm), count(f.recovered + f.resent), count(f.late)]);
	show("redundancy", rows.length ? table([["Class"], ["Means"], ["Extra now", "number"], ["Loss seen", "number"],
		["Made good", "number"], ["Too late", "number optional"]], rows) : empty("No peer is connected."));
}

function showDrops(views) {
	const rows = entries(views.drops).sort((a, b) => b[1].per_s - a[1].per_s || b[1].count - a[1].count)
		.map(([name, d]) => [element("span", {title: d.last ?? ""}, element("code", {}, name), element("div",
			{class: "small muted"}, d.why)), count(d.count), d.per_s ? pill(`${count(d.per_s)}/s`, "warn") : "0"]);
	show("drops", rows.length ? table([["Reason"], ["Packets", "number"], ["Now", "number"]], rows) :
		empty("Nothing has been dropped."));
}

function showModels(views) {
	const rows = entries(views.models).map(([role, m]) => [role, m.name === "classic" ? pill("classic") :
		element("span", {}, m.name, m.version && m.version !== "-" ? ` ${m.version}` : "", m.on_trial ? pill("on trial", "warn") : ""),
		m.format === "-" ? "–" : m.format, m.sha256 === "-" ? "–" : element("code", {title: m.sha256}, m.sha256.slice(0, 12))]);
	show("models-used", rows.length ? table([["Role"], ["Model"], ["Format"], ["SHA-256"]], rows) : empty("None."),
		rows.length ? element("p", {class: "note"}, "classic: the built-in algorithm decides.") : null);
}

function showSpans() {
	document.getElementById("spans").replaceChildren(...SPANS.map(([text, s]) => element("button",
		{type: "button", "aria-pressed": String(s === span_s), onclick: () => {
			span_s = s;
			showSpans();
			drawCharts(shown.now);
		}}, text)));
}

export function gatewayTiles(views) {
	const s = views.status, drops = entries(views.drops).reduce((sum, [, d]) => sum + d.per_s, 0);
	const tx = [...series.keys()].reduce((sum, name) => sum + lastOf(name, "tx_kbps"), 0);
	const rx = [...series.keys()].reduce((sum, name) => sum + lastOf(name, "rx_kbps"), 0);
	const load = Math.max(0, ...entries(views.workers).map(([, w]) => w.load_permille)) / 10;
	return [
		[`${s.paths_up} / ${s.paths}`, "paths up", s.paths_up === 0 ? "bad" : s.paths_up < s.paths ? "warn" : ""],
		[`${s.peers_established} / ${s.peers}`, "peers connected", s.peers_established < s.peers ? "warn" : ""],
		[rate(tx), "sent over all paths"], [rate(rx), "received"],
		[`${count(drops)}/s`, "dropped now", drops ? "warn" : ""],
		[`${load.toFixed(0)} %`, "busiest worker", load > 90 ? "bad" : load > 80 ? "warn" : ""],
	];
}

export function showGateway(views, now) {
	shown = {views, now};
	if (!document.getElementById("spans").childElementCount)
		showSpans();
	drawCharts(now);
	showPaths(views);
	showClasses(views);
	showDecisions(views);
	showRedundancy(views);
	showDrops(views);
	showModels(views);
}
