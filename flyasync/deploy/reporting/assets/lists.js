// The lists below the map: failures, lanes with their machines, queues of the limits, the plan and the events.

import {duration, element, fill, phaseText, style, version, write} from './elements.js';

const MOST_CAUSES = 50;
const MOST_OF_CAUSE = 4;
const REQUEST = /,? ?\brequest [\w-]+/g;
const MACHINE = /\b[0-9a-f]{14}\b/g;

// The failures by their causes, the most common first; reasons that differ only in ids have the same cause.
export class FailureList {
  constructor(section, list, fleet) {
    Object.assign(this, {section, list, fleet, drawn: 0});
  }

  draw(time) {
    const {failures} = this.fleet;
    if (this.shown === failures.size && !this.fleet.isFailing) return;
    // Many failures in a short time are drawn together.
    if (time - this.drawn < 500 && failures.size > 20 && !this.fleet.status) return;
    this.fleet.isFailing = false;
    Object.assign(this, {drawn: time, shown: failures.size});
    this.section.hidden = !failures.size;
    const causes = new Map();
    for (const failure of failures.values()) {
      failure.text ??= failure.reasons.join('\n').replace(REQUEST, '').replace(' ()', '');
      const cause = (failure.cause ??= failure.text.replace(MACHINE, 'ID'));
      if (!causes.has(cause)) causes.set(cause, []);
      causes.get(cause).push(failure);
    }
    const shown = [...causes].sort((one, other) => other[1].length - one[1].length).slice(0, MOST_CAUSES);
    const rows = shown.map(([cause, those]) => {
      const text = those.length > 1 ? `${those.length} × ${cause}` : those[0].text;
      const reasons = text.split('\n').map(reason => element('p', {}, reason));
      const who = those.slice(0, MOST_OF_CAUSE).map(({title, where, id, ids}) => {
        const more = [id && `request ${id}`, ids.length && `machine ${ids.join(', ')}`].filter(Boolean).join(', ');
        return element('li', {}, element('b', {}, title), where ? ` in ${where}` : '', more && ' · ', element('code', {}, more));
      });
      if (those.length > who.length) who.push(element('li', {}, `and ${those.length - who.length} more`));
      return element('li', {}, ...reasons, element('ul', {}, ...who));
    });
    this.list.replaceChildren(...rows);
  }
}

function resize(list, length, make) {
  while (list.children.length > length) list.lastChild.remove();
  while (list.children.length < length) list.append(make());
}

const MOST_APPS = 50;

// The apps of a bulk run: those that failed first, then those in progress.
export class AppList {
  constructor(section, list, filter, more, fleet) {
    Object.assign(this, {section, list, filter, more, fleet});
    filter.addEventListener('input', () => this.draw());
  }

  draw() {
    const {fleet, filter, section} = this;
    section.hidden = !fleet.bulk;
    if (!fleet.bulk) return;
    const text = filter.value.trim().toLowerCase();
    const shown = [];
    let found = text ? 0 : fleet.apps.size;
    for (const apps of Object.values(fleet.states)) {
      for (const app of apps) {
        if (!text && shown.length === MOST_APPS) break;
        if (!`${app.name} ${app.text} ${app.status || ''}`.toLowerCase().includes(text)) continue;
        if (text) found += 1;
        if (shown.length < MOST_APPS) shown.push(app);
      }
    }
    resize(this.list, shown.length, () => element('li', {}, element('span'), element('b'), element('span', {class: 'more'})));
    shown.forEach((app, index) => this.show(app, ...this.list.children[index].children));
    write(this.more, found > shown.length ? `and ${found - shown.length} more` : found ? '' : 'none');
  }

  show(app, state, name, more) {
    style(state, `state ${app.look}`);
    write(state, `${this.fleet.sign(app.look)} ${app.status && app.status !== 'ok' ? app.status : app.text}`.trim());
    write(name, app.name);
    write(more, [app.seconds && duration(app.seconds), app.state === 'failed' && app.reasons[0]].filter(Boolean).join(' · '));
  }
}

export class LaneList {
  constructor(list, fleet) {
    Object.assign(this, {list, fleet});
    this.reset();
  }

  reset() {
    this.lanes = new Map();
    this.rows = new Map();
    this.order = '';
    this.list.replaceChildren();
  }

  update(machine) {
    const lane = this.lane(machine.asked);
    lane.isChanged = true;
    let row = this.rows.get(machine);
    if (machine.isGone) {
      row?.item.remove();
      this.rows.delete(machine);
      return;
    }
    // Rows of a closed lane are made when it is opened.
    if (!row && !lane.item.open) return;
    if (!row) {
      const cells = {name: element('b'), phase: element('span'), more: element('span', {class: 'more'})};
      row = {...cells, item: element('li', {}, cells.phase, cells.name, cells.more)};
      this.rows.set(machine, row);
      lane.machines.append(row.item);
    }
    const moved = machine.region === machine.asked ? '' : ` → ${machine.region}`;
    const sign = this.fleet.sign(machine.look);
    style(row.phase, `state ${machine.look}`);
    write(row.phase, `${sign ? `${sign} ` : ''}${phaseText(machine)}`);
    write(row.name, machine.title + moved);
    write(row.more, [machine.id, version(machine, this.fleet), machine.detail].filter(Boolean).join(' · '));
  }

  lane(region) {
    let lane = this.lanes.get(region);
    if (!lane) {
      const [name, count, left] = [element('b'), element('span'), element('span', {class: 'left'})];
      const [done, failed] = [element('i', {class: 'good'}), element('i', {class: 'bad'})];
      const bar = element('span', {class: 'track', 'aria-hidden': 'true'}, done, failed);
      const machines = element('ul');
      const item = element('details', {}, element('summary', {}, name, bar, count, left), machines);
      name.textContent = region;
      lane = {region, item, count, left, done, failed, machines, isChanged: true};
      item.addEventListener('toggle', () => this.fill(lane));
      this.lanes.set(region, lane);
      this.list.append(item);
    }
    return lane;
  }

  fill(lane) {
    if (!lane.item.open) return;
    for (const machine of this.fleet.lanes.get(lane.region)?.machines || []) this.update(machine);
  }

  open(region) {
    // A machine may be in another region than the one that it was planned for.
    const asked = this.lanes.has(region) ? region : [...this.fleet.machines.values()].find(each => each.region === region)?.asked;
    const lane = this.lanes.get(asked);
    if (!lane) return;
    lane.item.open = true;
    this.fill(lane);
    lane.item.firstChild.focus();
    lane.item.scrollIntoView({block: 'nearest'});
  }

  draw(now, isTick) {
    for (const {region, folded} of this.fleet.lanes.values()) if (folded[0]) this.lane(region);
    const typical = isTick ? this.fleet.typicalSeconds() : null;
    for (const [region, lane] of this.lanes) {
      const known = this.fleet.lanes.get(region);
      if (known?.folded[0] && isTick) lane.isChanged = true;
      if (!known || !(isTick || lane.isChanged)) continue;
      if (lane.isChanged) {
        const {all, done, failed} = this.fleet.count(known.machines, known.folded);
        fill(lane.done, lane.failed, done, failed, all);
        write(lane.count, `${done} of ${all}${failed ? `, ${failed} failed` : ''}`);
        style(lane.item, failed ? 'failed' : '');
        lane.isFailed = failed > 0;
        if (done + failed === all) write(lane.left, '');
        lane.isChanged = false;
      }
      if (!isTick) continue;
      const left = this.fleet.plan ? this.fleet.laneLeft(known, now, typical) : 0;
      write(lane.left, left === null ? 'left unknown' : left ? `${duration(left)} left` : '');
    }
    if (isTick) this.sort();
  }

  // Lanes with failures first; the others stay in the order of the plan.
  sort() {
    const first = [...this.lanes.values()].filter(lane => lane.isFailed);
    const order = first.map(lane => lane.region).join();
    if (order === this.order || this.list.contains(document.activeElement)) return;
    this.order = order;
    this.list.prepend(...first.map(lane => lane.item));
  }
}

export class LimitList {
  constructor(section, list) {
    Object.assign(this, {section, list});
  }

  draw(limits) {
    const {queues, paused, at} = limits;
    this.section.hidden = !queues.length && !paused.length;
    const rows = queues.map(({operation, identifier, waiting, oldest, who}) => {
      const more = waiting > who.length ? ' and others' : '';
      return `${operation} ${identifier}: ${waiting} waiting, the first for ${duration(at - oldest)}${who.length ? `: ${who.join(', ')}${more}` : ''}`;
    });
    rows.push(...paused.map(({operation, identifier, until}) => `${operation} ${identifier || 'of all'}: paused by a 429, ${duration(Math.max(0, until - at))} left`));
    resize(this.list, rows.length, () => element('li'));
    rows.forEach((text, index) => write(this.list.children[index], text));
  }
}

const MOST_ROWS = 50;

export class EventLog {
  constructor(list, fleet) {
    Object.assign(this, {list, fleet, written: 0});
  }

  reset() {
    this.written = 0;
    this.list.replaceChildren();
  }

  draw() {
    const {log, logged} = this.fleet;
    const fresh = Math.min(logged - this.written, MOST_ROWS, log.length);
    if (!fresh) return;
    this.written = logged;
    const rows = log.slice(-fresh).reverse().map(({at, text, machine, look}) => {
      const sign = this.fleet.sign(look);
      const name = machine ? element('b', {}, machine.title) : null;
      return element('li', {class: look}, element('time', {}, `${at.toFixed(1)} s`), name, `${sign} ${text}`);
    });
    this.list.prepend(...rows);
    while (this.list.children.length > MOST_ROWS) this.list.lastChild.remove();
  }
}

// The plan: its stages, and below each region the steps of its machines with their causes.
export function planElements(plan) {
  const titles = plan.stages.map(stage => `${stage.title || 'create'}${stage.point_of_no_return ? ' (point of no return)' : ''}`);
  const stages = plan.stages.map((stage, index) => {
    const machines = plan.machines.filter(each => (each.stage || 1) === stage.stage);
    const regions = stage.regions.map(({region, width}) => {
      const those = machines.filter(each => each.region === region);
      const head = `${region}: ${those.length} machines${width ? `, ${width} at a time` : ''}`;
      return lazily(element('details', {}, element('summary', {}, head)), () => element('ul', {}, ...those.map(planned)));
    });
    return element('li', {}, element('b', {}, titles[index]), ...regions);
  });
  return [...plan.remarks.map(remark => element('p', {}, remark)), element('ol', {}, ...stages)];
}

function planned({name, machine_id: id, steps}) {
  const lines = steps.map(({step, cause, changes}) => {
    const below = (changes || []).map(change => element('li', {}, element('code', {}, change)));
    return element('li', {}, `${step.replaceAll('_', ' ')}: ${cause}`, below.length ? element('ul', {}, ...below) : null);
  });
  return element('li', {}, element('b', {}, name), id ? ` ${id}` : '', element('ul', {}, ...lines));
}

function lazily(details, make) {
  details.addEventListener('toggle', () => details.append(make()), {once: true});
  return details;
}
