// The state of a fleet, from the events of a deploy in order; it knows nothing of the page.

const LOG_LENGTH = 200;
const HANDLERS = {
  planned: 'onPlan',
  bulk: 'onBulk',
  begun: 'onBegin',
  expected: 'onExpect',
  ended: 'onEnd',
  progress: 'onProgress',
  request: 'onRequest',
  refused: 'onRefused',
  status: 'onStatus',
  unread: 'onUnread',
  finished: 'onFinish',
};

export class Fleet {
  constructor(words) {
    this.words = words;
    this.over = new Set(words.over);
    this.reset();
  }

  reset() {
    this.app = this.image = this.launch = this.strategy = null;
    this.plan = null;
    this.status = null;
    this.summary = this.notice = '';
    this.isRollback = false;
    this.remaining = null;
    this.machines = new Map();
    this.lanes = new Map();
    this.failures = new Map();
    this.log = [];
    this.logged = 0;
    this.changed = new Set();
    this.requestIds = new Map();
    this.watched = new Set();
    this.bulk = null;
    this.isFailing = true;
    this.apps = new Map();
    // The apps of a bulk run by their state, in the order in which they are listed.
    this.states = {failed: new Set(), 'in progress': new Set(), done: new Set(), waiting: new Set()};
  }

  look(word) {
    return this.words.looks[word] || 'other';
  }

  sign(look) {
    return this.words.signs[look] || '';
  }

  apply(event) {
    const handler = HANDLERS[event.event];
    if (handler) this[handler](event);
  }

  onPlan({at, plan, last, watch}) {
    // A second plan is the rollback.
    this.isRollback = this.plan !== null;
    Object.assign(this, {plan, app: plan.app, image: plan.image, launch: plan.launch, strategy: plan.strategy});
    this.remaining = estimate(plan, 'seconds', at);
    this.onExpect({machines: plan.machines, last, watch});
    for (const lane of this.lanes.values()) lane.width = null;
    for (const stage of plan.stages) {
      for (const {region, width} of stage.regions) if (width) this.lane(region).width = width;
    }
    this.write(at, this.isRollback ? 'rolling back' : 'the plan is made', null, 'changing');
  }

  onExpect({app, machines, last, watch}) {
    for (const {name, region, machine_id: id} of machines) {
      const machine = this.machine(name, region, app);
      machine.last = last[name] || null;
      machine.watch = watch[name] || 0;
      machine.id = id || machine.id;
      machine.isDone = false;
      this.changed.add(machine);
    }
  }

  onBulk({source, launch, at_once: atOnce, notice, apps, kept}) {
    Object.assign(this, {app: source, launch, notice, bulk: {atOnce}});
    for (const name of apps) this.move(name, 'waiting', {look: 'waiting'});
    for (const name of kept) this.move(name, 'done', {look: 'good', text: 'done before'});
  }

  onBegin({app}) {
    this.move(app, 'in progress', {look: 'making'});
  }

  // The end of an app: its machines by their results, or only their numbers if it ended long ago.
  onEnd({at, app: name, ok, status, seconds, reasons, where, request_id: id, ids, machines, regions, left}) {
    const known = this.apps.get(name);
    const look = ok ? this.look(status) : 'bad';
    if (!known?.status) this.write(at, `${name}: ${status}`, null, look);
    const app = this.move(name, ok ? 'done' : 'failed', {look, status, seconds, reasons});
    if (left) this.remaining = {likely: left, at};
    for (const row of machines) {
      const machine = this.machine(row.name, row.asked, name);
      Object.assign(machine, {result: row.result, region: row.region, look: this.look(row.result), isNew: true});
      Object.assign(machine, {id: row.machine_id || machine.id, isDone: row.done, isLost: row.lost});
      this.changed.add(machine);
    }
    // The failures of its machines become one.
    this.isFailing = true;
    for (const machine of app.machines) this.failures.delete(machine.name);
    if (!ok) this.failures.set(name, {title: name, where, reasons, id, ids});
    for (const [region, counts] of Object.entries(regions || {})) {
      const {folded} = this.lane(region);
      counts.forEach((count, index) => (folded[index] += count));
    }
    if (!regions) return;
    for (const machine of app.machines) this.remove(machine);
    app.machines.clear();
  }

  move(name, state, changes) {
    let app = this.apps.get(name);
    if (!app) this.apps.set(name, (app = {name, machines: new Set()}));
    else if (app.state !== state) this.states[app.state].delete(app);
    Object.assign(app, {text: state, state}, changes);
    this.states[state].add(app);
    return app;
  }

  remove(machine) {
    this.machines.delete(machine.name);
    this.failures.delete(machine.name);
    this.lane(machine.asked).machines.delete(machine);
    machine.isGone = true;
    this.changed.add(machine);
  }

  onProgress(event) {
    const {at, name, asked, region, phase, detail} = event;
    const machine = this.machine(name, asked, event.app);
    machine.region = region;
    machine.id = event.machine_id || machine.id;
    machine.began ??= at;
    machine.phase = phase;
    machine.look = this.look(phase);
    machine.detail = detail || '';
    if (phase === 'created' || phase === 'updated' || phase === 'kept') machine.isNew = true;
    const isLost = this.over.has(phase) && phase !== machine.last;
    machine.isDone = phase === machine.last && !machine.watch;
    // No event reports the end of a watch.
    machine.doneAt = phase === 'watching' ? at + machine.watch : null;
    if (machine.doneAt !== null) this.watched.add(machine);
    if (machine.isDone) machine.seconds = at - machine.began;
    if (isLost) this.fail(machine, [detail || phase], event.request_id || this.requestIds.get(name));
    if (!event.app && ('left_least' in event || 'left' in event)) this.remaining = estimate(event, 'left', at);
    this.changed.add(machine);
    this.write(at, phase + (detail ? `: ${detail}` : ''), machine, machine.look);
  }

  // A request that failed: the id is what Fly.io's support asks for.
  onRequest({at, machine, operation, identifier, error, status, request_id: id}) {
    if (id && machine) this.requestIds.set(machine, id);
    const text = `${operation} ${identifier}: ${error || status}${id ? `, request ${id}` : ''}`;
    this.write(at, text, this.machines.get(machine) || null, 'warning');
  }

  onRefused({at, machine, operation, identifier, message, pause}) {
    const text = `${operation} ${identifier}: ${message}; again in ${pause} s`;
    this.write(at, text, this.machines.get(machine) || null, 'warning');
  }

  // The observed state of an app, or of the machines that have changed: those in trouble first.
  onStatus({at, app, machines, gone}) {
    this.app = app;
    for (const row of machines) {
      const machine = this.machine(row.id, row.region);
      const look = row.trouble ? 'bad' : row.serves ? 'good' : row.state === 'started' ? 'checking' : 'gone';
      const text = [row.state, row.trouble, row.image].join('\n');
      if (machine.text !== text) {
        if (machine.text) this.write(at, row.trouble || row.state, machine, look);
        Object.assign(machine, {text, look, phase: row.state, id: row.id, detail: row.trouble || '', isNew: true});
        Object.assign(machine, {title: row.name, image: row.image, isDone: row.serves});
        this.changed.add(machine);
      }
      if (row.trouble) this.fail(machine, [row.trouble], null);
      else this.failures.delete(machine.name);
    }
    for (const machine of gone.map(id => this.machines.get(id)).filter(Boolean)) {
      this.remove(machine);
      this.write(at, 'gone', machine, 'gone');
    }
  }

  onUnread({at, message}) {
    this.notice = message;
    if (message) this.write(at, message, null, 'warning');
  }

  onFinish({at, status, summary, machines, rollback}) {
    this.status = status;
    this.summary = summary;
    for (const app of this.states['in progress']) Object.assign(app, {text: 'not known', look: 'other'});
    for (const app of this.states.waiting) app.text = 'not started';
    this.remaining = null;
    const after = new Set(rollback.map(row => row.name));
    for (const row of machines) {
      const machine = this.machines.get(row.name);
      if (!machine) continue;
      machine.result = row.result;
      machine.id = row.machine_id || machine.id;
      machine.look = this.look(row.result);
      machine.isDone = machine.look === 'good' || row.result === 'retired';
      this.changed.add(machine);
      const isBad = machine.look === 'bad' || row.result === 'skipped' || row.result === 'unknown';
      if (row.reasons && (isBad || this.failures.has(row.name))) this.fail(machine, row.reasons, row.request_id);
      else if (!isBad && !after.has(row.name)) this.failures.delete(row.name);
    }
    this.write(at, `${status}: ${summary}`, null, this.look(status));
  }

  fail(machine, reasons, requestId) {
    const known = this.failures.get(machine.name);
    const id = requestId || known?.id || null;
    if (known && known.id === id && known.reasons.join() === reasons.join()) return;
    const where = machine.region === machine.asked ? machine.asked : `${machine.asked} → ${machine.region}`;
    this.isFailing = true;
    this.failures.set(machine.name, {title: machine.title, where, reasons, id, ids: machine.id ? [machine.id] : []});
  }

  // The machines of many apps have the same names.
  machine(own, region, app) {
    const name = app ? `${app}/${own}` : own;
    let machine = this.machines.get(name);
    if (!machine) {
      machine = {name, title: name, asked: region, region, phase: null, look: 'waiting', last: null, id: null};
      Object.assign(machine, {detail: '', began: null, watch: 0, isNew: false, isDone: false, result: null});
      this.machines.set(name, machine);
      this.lane(region).machines.add(machine);
      this.apps.get(app)?.machines.add(machine);
      this.changed.add(machine);
    }
    return machine;
  }

  lane(region) {
    let lane = this.lanes.get(region);
    if (!lane) this.lanes.set(region, (lane = {region, width: null, machines: new Set(), folded: [0, 0, 0]}));
    return lane;
  }

  write(at, text, machine, look) {
    this.log.push({at, text, machine, look});
    this.logged += 1;
    if (this.log.length > LOG_LENGTH) this.log.shift();
  }

  // Mark the machines as done whose watch has ended by now.
  settle(now) {
    for (const machine of this.watched) {
      if (machine.doneAt !== null && machine.doneAt > now) continue;
      this.watched.delete(machine);
      if (machine.doneAt === null || machine.result) continue;
      Object.assign(machine, {isDone: true, look: 'good', seconds: now - machine.began});
      this.changed.add(machine);
    }
  }

  // How many machines there are, how many are as planned, and how many have failed; `folded` are not drawn any more.
  count(machines = this.machines.values(), folded = [0, 0, 0]) {
    const counts = {all: folded[0], done: folded[1], failed: folded[2]};
    for (const machine of machines) {
      counts.all += 1;
      if (machine.isLost || this.failures.has(machine.name)) counts.failed += 1;
      else if (machine.isDone) counts.done += 1;
    }
    return counts;
  }

  // The same of the apps of a bulk run, or else of the machines.
  countAll() {
    if (!this.bulk) return this.count();
    return {all: this.apps.size, done: this.states.done.size, failed: this.states.failed.size};
  }

  // The time left of a lane, from the machines that this run has finished; null while none has.
  laneLeft(lane, now, typical) {
    const {all, done, failed} = this.count(lane.machines);
    const open = all - done - failed;
    if (!open || this.status) return 0;
    if (typical === null) return null;
    let longest = 0;
    for (const machine of lane.machines) {
      if (machine.began !== null && !machine.isDone) longest = Math.max(longest, now - machine.began);
    }
    const rounds = Math.ceil(open / (lane.width || open));
    return Math.max(1, rounds * typical - Math.min(longest, typical));
  }

  // The median of the seconds that machines of this run took; null while none is done.
  typicalSeconds() {
    const times = [];
    for (const machine of this.machines.values()) if (machine.seconds !== undefined) times.push(machine.seconds);
    times.sort((a, b) => a - b);
    return times.length ? times[times.length >> 1] : null;
  }
}

function estimate(data, name, at) {
  const [likely, least] = [data[name], data[`${name}_least`]];
  return likely == null && least == null ? null : {likely, least, at};
}
