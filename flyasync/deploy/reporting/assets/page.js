// The page: applies events to the fleet, and draws what has changed once in a frame.

import {byId, duration, fill, shortImage, style, timeLeft, write} from './elements.js';
import {Fleet} from './fleet.js';
import {AppList, EventLog, FailureList, LaneList, LimitList, planElements} from './lists.js';
import {FleetMap} from './map.js';

const TICK = 1000; // milliseconds between two updates of what changes only with the time
const ANNOUNCE = 4000; // milliseconds between two announcements to a screen reader
const MOST_MACHINES = 60; // drawn in one frame; the others in the next ones

export class Page {
  constructor({words, positions}) {
    this.fleet = new Fleet(words);
    this.map = new FleetMap(byId('map'), this.fleet, positions, region => this.lanes.open(region));
    this.failures = new FailureList(byId('failures'), byId('failure-list'), this.fleet);
    this.apps = new AppList(byId('apps'), byId('app-list'), byId('app-filter'), byId('app-more'), this.fleet);
    this.lanes = new LaneList(byId('lane-list'), this.fleet);
    this.limits = new LimitList(byId('limits'), byId('limit-list'));
    this.log = new EventLog(byId('log-list'), this.fleet);
    this.clock = () => 0;
    this.announced = this.ticked = -TICK;
    this.isAsked = this.isMapsTurn = false;
    byId('live').hidden = false;
    new ResizeObserver(([{contentRect}]) => {
      this.map.resize(contentRect.width);
      this.ask();
    }).observe(byId('map-box'));
    byId('plan').addEventListener('toggle', () => this.showPlan());
  }

  apply(events) {
    for (const event of events) this.fleet.apply(event);
    this.ask();
  }

  // Show another time of a recording, from its events until then.
  show(events) {
    this.fleet.reset();
    this.map.reset();
    this.lanes.reset();
    this.log.reset();
    this.ticked = -TICK;
    this.isShown = true;
    this.apply(events);
  }

  ask() {
    if (this.isAsked) return;
    this.isAsked = true;
    requestAnimationFrame(time => this.draw(time));
  }

  // The map and the lists take turns, so that no frame has the work of both.
  draw(time) {
    this.isAsked = false;
    this.isMapsTurn = !this.isMapsTurn && (this.fleet.changed.size > 0 || this.map.isStale);
    if (this.isMapsTurn) this.drawMachines();
    else this.drawLists(time);
    if (this.isMapsTurn || this.fleet.changed.size) this.ask();
  }

  drawMachines() {
    let left = MOST_MACHINES;
    for (const machine of this.fleet.changed) {
      if (left-- === 0) break;
      this.fleet.changed.delete(machine);
      this.map.update(machine);
      this.lanes.update(machine);
    }
    if (this.fleet.changed.size) return;
    // The layout of the map, and the order of the lanes, wait for the last of many new machines.
    this.map.draw();
    if (this.isShown) this.ticked = -TICK;
    this.isShown = false;
  }

  drawLists(time) {
    const isTick = time - this.ticked >= TICK || this.status !== this.fleet.status;
    if (isTick) {
      this.status = this.fleet.status;
      this.ticked = time;
      this.fleet.settle(this.clock());
      this.apps.draw();
    }
    this.lanes.draw(this.clock(), isTick);
    this.failures.draw(time);
    this.log.draw();
    this.drawHead(isTick);
    if (time - this.announced >= ANNOUNCE || this.fleet.status) this.announce(time);
  }

  drawHead(isTick) {
    const {fleet} = this;
    const {all, done, failed} = fleet.countAll();
    const isRun = fleet.plan || fleet.bulk;
    const status = fleet.status || (fleet.isRollback ? 'rolling back' : isRun ? 'running' : all ? 'watching' : 'planning');
    const look = fleet.status ? fleet.look(fleet.status) : failed ? 'bad' : 'making';
    style(byId('status'), `badge ${look}`);
    write(byId('status'), fleet.status ? `${fleet.sign(look)} ${status}` : status);
    write(byId('app'), fleet.app || '');
    const begun = fleet.states['in progress'].size;
    const counts = [`${done} of ${all} ${fleet.bulk ? 'apps ' : ''}${isRun ? 'done' : 'serve'}`, failed && `${failed} failed`, begun && !fleet.status && `${begun} in progress`];
    write(byId('count'), counts.filter(Boolean).join(', '));
    write(byId('notice'), fleet.notice || '');
    fill(byId('done'), byId('failed'), done, failed, all);
    const what = [fleet.bulk && `${fleet.bulk.atOnce} at once`, fleet.strategy, fleet.launch && `launch ${fleet.launch}`, shortImage(fleet.image)].filter(Boolean);
    write(byId('what'), what.join(', '));
    byId('plan').hidden = !fleet.plan?.stages.length;
    this.showPlan();
    if (!isTick) return;
    if (fleet.app) document.title = `${fleet.sign(look)} ${fleet.app}: ${status}`;
    const now = this.clock();
    write(byId('time'), [`${now.toFixed(0)} s`, timeLeft(fleet.remaining, now)].filter(Boolean).join(', '));
  }

  showPlan() {
    if (byId('plan').open && this.shownPlan !== this.fleet.plan && this.fleet.plan) {
      this.shownPlan = this.fleet.plan;
      byId('plan-text').replaceChildren(...planElements(this.fleet.plan));
    }
  }

  announce(time) {
    const {fleet} = this;
    const last = [...fleet.failures.values()].pop();
    const parts = [byId('count').textContent, last && `the last failure is ${last.title}`, timeLeft(fleet.remaining, this.clock())];
    const text = fleet.status ? `${fleet.status}. ${fleet.summary}` : parts.filter(Boolean).join(', ');
    if (fleet.machines.size && byId('announcement').textContent !== text) {
      this.announced = time;
      write(byId('announcement'), text);
    }
  }
}

// A slider over the time of a recording, and a button that plays it in ten seconds.
export class Slider {
  constructor(page, events) {
    const [input, play] = [byId('slider'), byId('play')];
    const end = events.at(-1)?.at || 0;
    Object.assign(this, {page, events, end, input, play, at: end});
    page.clock = () => this.at;
    byId('replay').hidden = false;
    this.begin = events[0]?.at || 0;
    input.min = this.begin;
    input.max = end;
    input.step = Math.max(0.1, end / 1000).toFixed(2);
    input.addEventListener('input', () => this.move(Number(input.value)));
    play.addEventListener('click', () => (this.isPlaying ? this.stop() : this.start()));
    this.move(end);
  }

  move(at) {
    this.at = at;
    const isEnd = at >= this.end - this.input.step;
    this.page.show(isEnd ? this.events : this.events.filter(event => event.at <= at));
    this.input.value = at;
    this.input.setAttribute('aria-valuetext', `${at.toFixed(1)} of ${this.end.toFixed(1)} seconds`);
    write(byId('moment'), `${at.toFixed(1)} s of ${duration(this.end)}`);
  }

  start() {
    this.isPlaying = true;
    write(this.play, 'Pause');
    const from = this.at >= this.end - this.input.step ? this.begin : this.at;
    let begun = null;
    const step = time => {
      begun ??= time;
      if (!this.isPlaying) return;
      const at = from + ((time - begun) / 10000) * this.end;
      this.move(Math.min(at, this.end));
      if (at < this.end) requestAnimationFrame(step);
      else this.stop();
    };
    requestAnimationFrame(step);
  }

  stop() {
    this.isPlaying = false;
    write(this.play, 'Play');
  }
}
