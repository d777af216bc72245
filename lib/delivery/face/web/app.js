// Asks the manager every two seconds and shows what it says. Addresses are relative: the page may live anywhere.
import {addHistory, forgetHistory, gatewayTiles, newestSample, showGateway} from "./gateway.js";
import {DEVICES_SHOWN, fleetTiles, openedCampaign, showCampaigns, showDevices, showModels} from "./fleet.js";
import {duration, element} from "./dom.js";

const INTERVAL_MS = 2000, TIMEOUT_MS = 5000;
let started_ms = 0, asked = 0;
let last = null; // the newest good answers

const $ = id => document.getElementById(id);

class Refused extends Error {}

async function get(path) {
	const reply = await fetch(`api/v2/${path}`, {signal: AbortSignal.timeout(TIMEOUT_MS)});
	if (reply.status === 401 || reply.status === 403)
		throw new Refused(await reply.text());
	if (!reply.ok)
		throw new Error(`${path}: ${reply.status}`);
	return reply.json();
}

// ---- light and dark ----

function setTheme(choice) {
	const dark = choice ? choice === "dark" : matchMedia("(prefers-color-scheme: dark)").matches;
	document.documentElement.dataset.theme = dark ? "dark" : "light";
	$("theme").textContent = dark ? "Light" : "Dark";
}

function startTheme() {
	let choice = null;
	try {
		choice = localStorage.getItem("theme");
	} catch { /* a browser that keeps nothing */ }
	setTheme(choice);
	matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => setTheme(choice));
	$("theme").addEventListener("click", () => {
		choice = document.documentElement.dataset.theme === "dark" ? "light" : "dark";
		setTheme(choice);
		try {
			localStorage.setItem("theme", choice);
		} catch { /* then until the page is left */ }
	});
}

// ---- showing ----

function banner(text) {
	$("banner").hidden = !text;
	$("banner").textContent = text;
}

function tiles(list) {
	$("tiles").replaceChildren(...list.map(([value, text, kind]) =>
		element("div", {class: "tile"}, element("b", {class: kind ?? ""}, value), element("span", {}, text))));
}

function showState(gateway) {
	const kinds = {up: ["gateway up", "good"], down: ["gateway down", "bad"], waiting: ["asking", ""], none: ["no gateway", ""]};
	const [text, kind] = kinds[gateway.state] ?? [gateway.state, ""];
	$("gateway-state").textContent = text;
	$("gateway-state").className = `pill ${kind}`;
	$("gateway").hidden = !gateway.views;
	$("gateway").classList.toggle("stale", gateway.state !== "up");
}

function showHead({gateway, overview}, now) {
	const status = gateway.views?.status;
	$("name").textContent = status ? status.name : "Lodestone";
	document.title = status ? `${status.name} · Lodestone` : "Lodestone";
	$("subtitle").textContent = status && gateway.state === "up" ?
		`gateway ${gateway.views.version?.version ?? ""}, up ${duration(status.up_s)}` :
		`manager ${overview.manager.version}`;
	$("foot").textContent = `Manager ${overview.manager.version}, up ${duration((now - overview.manager.started_ms) / 1000)}, ` +
		`${overview.manager.requests} requests answered.`;
}

function trouble({gateway, overview}, now) {
	if (overview.trouble)
		return `The manager's database does not answer: ${overview.trouble}`;
	if (gateway.state === "down")
		return `The gateway is down: ${gateway.reason}.` + (gateway.answered_ms ?
			` What is shown is ${duration((now - gateway.answered_ms) / 1000)} old.` : "");
	return "";
}

function show() {
	const {gateway, overview, devices, targets} = last, now = overview.manager.now_ms;
	document.body.classList.remove("stale");
	showState(gateway);
	showHead(last, now);
	banner(trouble(last, now));
	tiles([...gateway.state === "up" ? gatewayTiles(gateway.views) : [], ...overview.devices ? fleetTiles(overview) : []]);
	if (gateway.views)
		showGateway(gateway.views, newestSample() || now);
	if (overview.devices) {
		showCampaigns(overview, targets, now, ask);
		showModels(overview, now);
		showDevices(overview, devices, now);
	}
}

// ---- asking ----

async function answers() {
	const overview = await get("overview");
	if (overview.manager.started_ms !== started_ms)
		forgetHistory();
	started_ms = overview.manager.started_ms;
	const opened = openedCampaign();
	const [gateway, history, devices, targets] = await Promise.all([get("gateway"),
		get(`gateway/history?since_ms=${newestSample()}`), get(`devices?limit=${DEVICES_SHOWN}`),
		opened ? get(`campaigns/${encodeURIComponent(opened)}/devices?limit=100`) : null]);
	return {overview, gateway, history, devices, targets};
}

async function ask() {
	const mine = ++asked;
	try {
		const found = await answers();
		if (mine !== asked)
			return; // a newer question is on its way
		addHistory(found.history);
		last = found;
		show();
	} catch (error) {
		if (mine !== asked)
			return;
		document.body.classList.add("stale");
		banner(error instanceof Refused ? `The manager refuses: ${error.message}. A client certificate or a viewer's role is needed.` :
			`The manager does not answer${last ? "; what is shown is old" : ""}. Trying again.`);
	}
}

async function poll() {
	if (!document.hidden)
		await ask();
	setTimeout(poll, INTERVAL_MS);
}

startTheme();
addEventListener("resize", () => last && show());
document.addEventListener("visibilitychange", () => document.hidden || ask());
poll();
