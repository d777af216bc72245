// What the manager knows of its fleet: campaigns, models, devices.
import {ago, bytes, count, element, empty, pill, show, table} from "./dom.js";

const DEVICES_SHOWN = 25;
const stateKind = {complete: "good", rolling_out: "good", paused: "warn", pending: "", rolling_back: "warn",
	failed: "bad", aborted: "bad", online: "good", offline: "bad", error: "bad", rolled_back: "warn"};
const shares = {done: ["complete"], working: ["offered", "downloading", "verifying", "applying"],
	back: ["rolling_back", "rolled_back"], failed: ["failed"]};
let opened = null; // the campaign whose devices are shown

export function openedCampaign() {
	return opened;
}

function words(state) {
	return state.replaceAll("_", " ");
}

function bar(c) {
	const parts = Object.entries(shares).map(([kind, states]) => {
		const n = states.reduce((sum, s) => sum + (c.by_state[s] ?? 0), 0), part = element("i", {class: kind});
		part.style.width = `${c.targets ? n / c.targets * 100 : 0}%`;
		return part;
	});
	const text = Object.entries(c.by_state).map(([s, n]) => `${count(n)} ${words(s)}`).join(", ") || "no devices";
	return element("div", {title: text}, element("div", {class: "bar"}, ...parts), element("div", {class: "small muted"}, text));
}

function targetRows(page, now) {
	if (!page)
		return empty("loading");
	if (!page.items.length)
		return empty("No devices.");
	const rows = page.items.map(t => [t.device_id, pill(words(t.state), stateKind[t.state]), ago(t.changed_ms, now),
		bytes(t.bytes_served), t.attempts ? `${t.attempts}` : "–", t.error ? element("span", {class: "small"}, t.error) : ""]);
	return element("div", {}, table([["Device", "line"], ["State"], ["Since", "line"], ["Bytes", "number"], ["Tries", "number optional"], ["Error"]], rows),
		page.next ? element("p", {class: "note"}, `The first ${page.items.length}. All of them: lodectl campaign show ID.`) : null);
}

function campaignRow(c, refresh) {
	const toggle = () => {
		opened = opened === c.id ? null : c.id;
		refresh();
	};
	return element("tr", {class: "opens", tabindex: "0", "aria-expanded": String(opened === c.id), onclick: toggle,
		onkeydown: event => event.key === "Enter" && toggle()},
		element("td", {}, element("b", {}, `${c.model_id} ${c.target_version}`), element("div", {class: "small muted"}, `to ${c.fleet_id}`)),
		element("td", {}, pill(words(c.state), stateKind[c.state]), c.reason ? element("div", {class: "small muted"}, c.reason) : null),
		element("td", {class: "optional"}, `${words(c.strategy)}, stage ${c.stage + 1} of ${c.stages}`),
		element("td", {}, bar(c)),
		element("td", {class: "number optional"}, `${bytes(c.bytes_served)}`, element("div", {class: "small muted"},
			c.bytes_saved ? `${bytes(c.bytes_saved)} saved` : "")));
}

export function showCampaigns(overview, targets, now, refresh) {
	const rows = overview.campaigns.flatMap(c => c.id !== opened ? [campaignRow(c, refresh)] :
		[campaignRow(c, refresh), element("tr", {}, element("td", {colspan: "5"}, targetRows(targets, now)))]);
	show("campaigns", rows.length ? table([["Model"], ["State"], ["Strategy", "optional"], ["Devices"], ["Sent", "number optional"]], rows) :
		empty("No campaign yet. lodectl campaign start begins one."));
}

export function showModels(overview, now) {
	const rows = overview.models.map(m => [m.model_id, element("span", {title: m.sha256}, m.newest), count(m.versions),
		bytes(m.size_bytes), ago(m.uploaded_ms, now)]);
	show("models", rows.length ? table([["Model"], ["Newest"], ["Versions", "number"], ["Size", "number"],
		["Uploaded", "number"]], rows) : empty("No model has been uploaded."));
}

export function showDevices(overview, page, now) {
	const d = overview.devices;
	const summary = element("p", {}, ...["online", "offline", "error", "unknown"].filter(s => d[s])
		.flatMap(s => [pill(`${count(d[s])} ${s === "unknown" ? "never heard of" : s}`, stateKind[s]), " "]));
	const rows = (page?.items ?? []).map(v => [v.id, pill(v.status, stateKind[v.status]), v.current_model ?
		`${v.current_model} ${v.current_model_version}` : "–", v.poisoned?.length ? pill(`${v.poisoned.length} refused`, "bad") : "",
		ago((v.last_heartbeat ?? 0) * 1000, now)]);
	show("devices", d.total ? summary : empty("No device is registered."), rows.length ?
		table([["Device", "line"], ["State"], ["Runs"], [""], ["Heard", "number"]], rows) : null,
		page?.next ? element("p", {class: "note"}, `The first ${rows.length} of ${count(d.total)}. All of them: lodectl device list.`) : null);
}

export {DEVICES_SHOWN};

export function fleetTiles(overview) {
	const d = overview.devices, open = overview.campaigns.filter(c => c.open).length;
	return [
		[`${count(d.online)} / ${count(d.total)}`, "devices online", d.online < d.total ? "warn" : ""],
		[count(open), open === 1 ? "open campaign" : "open campaigns"],
	];
}
