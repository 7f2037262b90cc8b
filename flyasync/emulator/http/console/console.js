// The console of the emulator: it asks once a second for what has changed. Text is only ever inserted as text.

const find = (id) => document.getElementById(id);

function element(tag, text = "", look = "") {
  const made = document.createElement(tag);
  made.textContent = text;
  if (look) made.className = look;
  return made;
}

// A region that did not change is left alone, so that a selection and the focus in it stay.
const shown = new Map();
function changed(id, value) {
  const text = JSON.stringify(value);
  if (shown.get(id) === text) return false;
  shown.set(id, text);
  return true;
}

const NOTHING = { apps: "no apps", machines: "no machines", volumes: "no volumes", faults: "no faults",
  buckets: "every bucket is empty" };
const BAD = /^(failed|unreachable|replaced)|critical/; // states of machines, hosts and checks

function table(id, heads, rows) {
  if (!changed(id, rows)) return;
  if (!rows.length) return find(id).replaceChildren(element("p", NOTHING[id], "none"));
  const made = element("table");
  const head = element("tr");
  head.append(...heads.map((name) => { const cell = element("th", name); cell.scope = "col"; return cell; }));
  const top = element("thead");
  top.append(head);
  const body = element("tbody");
  for (const cells of rows) {
    const row = element("tr");
    row.append(...cells.map((cell) => element("td", String(cell ?? ""), BAD.test(cell) ? "bad" : "")));
    body.append(row);
  }
  made.append(top, body);
  const scroll = element("div", "", "scroll");
  scroll.tabIndex = 0;
  scroll.role = "region";
  scroll.setAttribute("aria-labelledby", `${id}-title`);
  scroll.append(made);
  find(id).replaceChildren(scroll);
}

function machineChoices(machines) {
  if (!changed("choices", machines.map((each) => [each.id, each.app, each.name, each.region]))) return;
  for (const select of document.querySelectorAll("select[name=machine]")) {
    const before = select.value;
    select.replaceChildren(...machines.map((each) => {
      const option = element("option", `${each.name} (${each.app}, ${each.region})`);
      option.value = each.id;
      return option;
    }));
    if (machines.some((each) => each.id === before)) select.value = before;
  }
}

function pretty(text) {
  try { return JSON.stringify(JSON.parse(text), null, 2); } catch { return text; }
}

// A request never changes once it is logged: only new ones are drawn, and an opened one stays open.
const drawn = new Map();
function draw(request) {
  const made = element("details");
  const notes = [...request.faults, ...(request.is_limited ? ["rate limited"] : [])].join(", ");
  const status = request.status ?? "none";
  const title = element("summary");
  const isRefused = !(request.status < 400);
  title.append(element("span", `${request.at.toFixed(1)} s`, "at"), element("span", status, isRefused ? "bad" : ""),
    element("span", `${request.method} ${request.path}`));
  if (notes) title.append(element("span", notes, "bad"));
  made.append(title);
  made.addEventListener("toggle", () => {
    if (made.childElementCount > 1) return;
    made.append(element("p", `${request.action} ${request.identifier}`));
    for (const [name, body] of [["Request", request.asked], ["Response", request.answered]]) {
      made.append(element("div", body ? name : `${name}: no body`));
      if (body) made.append(element("pre", pretty(body)));
    }
  });
  return made;
}

function requests(list) {
  if (!changed("requests", list.map((each) => each.seq))) return;
  const known = new Set(list.map((each) => each.seq));
  for (const seq of drawn.keys()) if (!known.has(seq)) drawn.delete(seq);
  for (const each of list) if (!drawn.has(each.seq)) drawn.set(each.seq, draw(each));
  const rows = list.map((each) => drawn.get(each.seq));
  find("requests").replaceChildren(...(rows.length ? rows : [element("p", "none", "none")]));
}

// The fields of a fault that say nothing: any app, always, and so on.
const any = '"*"';
const USUAL = { action: any, method: any, identifier: any, app: any, region: any, name: any, image: any, after: "0",
  probability: "1", seconds: "0", status: "503", body: "null", headers: "{}", exit_code: "1" };

const counted = (list, name) => `${list.length} ${name}${list.length === 1 ? "" : "s"}`;

function show(world) {
  const full = Object.entries(world.capacity).filter(([, machines]) => machines !== null);
  const limits = full.map(([region, machines]) => `${region} holds ${machines}`).join(", ");
  find("status").textContent = `${counted(world.apps, "app")}, ${counted(world.machines, "machine")}, `
    + `${counted(world.volumes, "volume")}, last change at ${world.clock} s${limits ? `; capacity: ${limits}` : ""}`;
  machineChoices(world.machines);
  table("apps", ["name", "organization"], world.apps.map((each) => [each.name, each.org]));
  table("machines", ["app", "name", "region", "state", "host", "checks", "lease", "image", "id"],
    world.machines.map((each) => [
      each.app, each.name, each.region, each.cordoned ? `${each.state}, cordoned` : each.state, each.host,
      each.checks.map((check) => `${check.name}: ${check.status}`).join(", "),
      each.lease ? `${each.lease.owner}, ${Math.ceil(each.lease.seconds_left)} s` : "", each.image, each.id,
    ]));
  table("volumes", ["app", "name", "region", "state", "GB", "machine", "id"], world.volumes.map((each) => [
    each.app, each.name, each.region, each.state, each.size_gb, each.machine, each.id]));
  table("buckets", ["operation", "identifier", "in use", "burst", "per second"], world.buckets.map((each) => [
    each.action, each.identifier, each.used.toFixed(1), each.burst, each.per_second]));
  table("faults", ["fault", "applied", "at most"], world.faults.map(({ hits, times, ...fault }) => [
    Object.entries(fault).filter(([name, value]) => JSON.stringify(value) !== USUAL[name])
      .map(([name, value]) => `${name}=${JSON.stringify(value)}`).join(" "), hits, times ?? "any number"]));
  // Only the requests that ended since the last response are in this one, unless the emulator began anew.
  latest = (world.logged < logged ? world.requests : [...world.requests, ...latest]).slice(0, 200);
  logged = world.logged;
  requests(latest);
}

let latest = [];
let logged = 0;
let tag = "";

async function refresh() {
  try {
    const response = await fetch(`/_emulator/overview?since=${logged}`, { headers: { "If-None-Match": tag } });
    if (response.status === 304) return;
    if (!response.ok) throw new Error(`status ${response.status}`);
    tag = response.headers.get("ETag");
    show(await response.json());
  } catch (error) {
    tag = ""; // the next response is shown even if nothing has changed
    find("status").textContent = `The emulator does not respond: ${error.message}`;
  }
}

// For a shell. In Python, a string is written as in JSON.
const quoted = (text) => `'${text.replaceAll("'", "'\\''")}'`;

async function act(method, path, body, python) {
  const url = `${location.origin}/_emulator/${path}`;
  const text = body === undefined ? undefined : JSON.stringify(body);
  const curl = text === undefined ? `curl -X ${method} ${url}` : `curl ${url} -d ${quoted(text)}`;
  let result = "";
  try {
    const response = await fetch(url, { method, body: text });
    if (!response.ok) result = (await response.json()).error;
  } catch (error) {
    result = error.message;
  }
  const lines = [element("pre", curl), element("pre", python)];
  find("did").replaceChildren(element("p", result ? `Refused: ${result}` : "Done. The same from elsewhere:",
    result ? "bad" : ""), ...lines);
  await refresh();
}

const capacity = (region, machines) => act("POST", "capacity", { region, machines },
  `emulator.set_capacity(${JSON.stringify(region)}, ${machines ?? "None"})`);
const host = (id, status) => act("POST", "host_status", { machine_id: id, host_status: status },
  `emulator.set_host_status(${JSON.stringify(id)}, ${JSON.stringify(status)})`);
const fault = (fields) => act("POST", "faults", fields, `from flyasync.emulator import Fault\nemulator.faults.add(Fault(${
  Object.entries(fields).map(([name, value]) => `${name}=${JSON.stringify(value)}`).join(", ")}))`);

const BUTTONS = {
  fill: (form) => capacity(form.get("region"), 0),
  empty: (form) => capacity(form.get("region"), null),
  host: (form) => host(form.get("machine"), "unreachable"),
  return: (form) => host(form.get("machine"), "ok"),
  crash: (form) => act("POST", "crash", { machine_id: form.get("machine") },
    `emulator.crash(${JSON.stringify(form.get("machine"))})`),
  lag: (form) => fault({ does: "stale", seconds: Number(form.get("seconds")) }),
  lose: (form) => fault({ does: "lose_answer", method: "POST", times: Number(form.get("times")) }),
  clear: () => act("DELETE", "faults", undefined, "emulator.faults.clear()"),
};
for (const [id, press] of Object.entries(BUTTONS)) {
  find(id).addEventListener("submit", (event) => {
    event.preventDefault();
    press(new FormData(find(id)));
  });
}

async function poll() {
  if (!document.hidden) await refresh();
  setTimeout(poll, 1000);
}
poll();
