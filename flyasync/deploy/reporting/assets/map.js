// The map: each region at its position, each machine a marker in it, as close as the others leave room.

import {drawn, phaseText, style, version, write} from './elements.js';

// Outlines of the land as longitudes and latitudes: coarse, so that one sees where a region is.
const LAND = [
  '-168 66 -156 71 -128 70 -95 72 -81 68 -86 56 -79 52 -77 62 -64 58 -56 52 -66 46 -70 42 -76 35 -81 26 -84 30 -97 27 -94 18 -87 21 -83 10 -78 8 -95 15 -106 22 -113 31 -110 24 -117 32 -124 40 -124 48 -135 58 -152 59 -164 55 -157 59 -166 62',
  '-78 8 -72 12 -60 9 -50 0 -35 -6 -39 -18 -48 -26 -58 -38 -65 -42 -69 -53 -75 -50 -71 -30 -70 -18 -81 -5',
  '-73 78 -20 82 -22 70 -43 60 -53 67',
  '-9 37 -9 43 -2 44 -5 48 3 51 9 54 10 57 18 55 24 58 30 60 22 61 24 66 18 62 12 56 5 59 12 66 25 71 41 67 45 68 68 69 80 73 105 77 140 73 170 70 180 67 162 60 156 51 155 60 140 54 130 43 127 35 122 40 121 31 117 23 108 21 109 12 103 10 104 1 99 8 97 17 90 22 80 15 77 8 73 20 66 25 57 26 50 30 56 23 45 13 35 28 36 36 27 37 29 41 41 42 30 46 23 40 23 36 19 40 13 45 18 40 12 42 7 44 3 42 -1 37 -5 36',
  '-6 36 10 37 11 33 20 31 32 31 43 12 51 12 40 -3 40 -16 35 -24 32 -29 20 -35 12 -17 9 4 -8 4 -17 15 -16 23',
  '114 -22 122 -17 131 -12 137 -12 136 -16 141 -12 146 -19 153 -26 150 -37 144 -39 138 -34 131 -31 116 -35',
  '-5 50 1 51 0 54 -3 58 -6 57 -3 54', '-10 52 -6 52 -6 55', '-24 65 -14 65 -18 63', '131 32 141 36 142 44 140 39 132 34',
  '44 -25 49 -16 48 -24', '95 5 105 -5 103 -6', '105 -6 114 -8 108 -8', '109 1 117 6 118 0 114 -4', '119 -5 122 -4 121 1',
  '131 -1 141 -3 148 -10 138 -8', '173 -35 178 -38 174 -41', '173 -41 170 -46 167 -46', '120 18 122 16 125 8 121 13',
];
const [WEST, EAST, SOUTH, NORTH] = [-172, 182, -58, 80];

// Shapes as well as colours, for readers who cannot tell the colours apart; each fits in a circle of radius 4.
const DISC = 'M4 0A4 4 0 1 1-4 0A4 4 0 1 1 4 0Z';
const SHAPES = {
  waiting: 'M2 0A2 2 0 1 1-2 0A2 2 0 1 1 2 0Z',
  making: 'M0-4L4 3.5H-4Z',
  changing: 'M0-4.4L4.4 0 0 4.4-4.4 0Z',
  starting: 'M0 4L4-3.5H-4Z',
  checking: 'M-3.5-3.5H3.5V3.5H-3.5Z',
  good: DISC,
  bad: 'M-4-2.2L-2.2-4 0-1.8 2.2-4 4-2.2 1.8 0 4 2.2 2.2 4 0 1.8-2.2 4-4 2.2-1.8 0Z',
  gone: 'M-4-1.2H4V1.2H-4Z',
};

export class FleetMap {
  constructor(svg, fleet, positions, onPick) {
    Object.assign(this, {svg, fleet, positions, onPick, width: 0});
    this.ground = drawn('g', {'aria-hidden': 'true'});
    this.top = drawn('g');
    svg.replaceChildren(this.ground, this.top);
    this.reset();
    svg.addEventListener('keydown', event => this.onKey(event));
    svg.addEventListener('pointerover', event => this.point(event));
    svg.addEventListener('click', event => this.pick(event.target.closest('.region')));
  }

  reset() {
    this.regions = new Map();
    this.markers = new Map();
    this.top.replaceChildren();
    this.isStale = true;
  }

  resize(width) {
    if (Math.abs(width - this.width) < 8) return;
    this.width = width;
    this.height = Math.round(width * (width < 600 ? 0.95 : 0.43));
    this.svg.style.height = `${this.height}px`;
    for (const region of this.regions.values()) this.regroup(region);
    this.isStale = true;
  }

  update(machine) {
    if (machine.isGone) return this.remove(machine);
    let marker = this.markers.get(machine);
    if (!marker) {
      const path = drawn('path');
      this.markers.set(machine, (marker = {path, title: drawn('title'), region: null, look: null}));
      path.append(marker.title);
    }
    if (marker.region?.code !== machine.region) {
      if (marker.region) this.regroup(marker.region).delete(machine);
      marker.region = this.region(machine.region);
      this.regroup(marker.region).add(machine);
      marker.region.group.append(marker.path);
    }
    if (marker.look !== machine.look) {
      marker.look = machine.look;
      marker.path.setAttribute('d', SHAPES[machine.look] || DISC);
    }
    style(marker.path, `${machine.look}${machine.isNew ? '' : ' old'}`);
    marker.region.isChanged = true;
    marker.isTitleStale = true;
  }

  remove(machine) {
    const marker = this.markers.get(machine);
    if (!marker) return;
    marker.path.remove();
    this.regroup(marker.region).delete(machine);
    this.markers.delete(machine);
  }

  // The machines of a region, which are about to change.
  regroup(region) {
    this.isStale = region.isRegrouped = true;
    return region.machines;
  }

  region(code) {
    let region = this.regions.get(code);
    if (!region) {
      const label = drawn('text', {x: 3, y: -3, 'aria-hidden': 'true'});
      const halo = drawn('rect', {rx: 4, 'aria-hidden': 'true'});
      const line = drawn('line', {'aria-hidden': 'true'});
      const group = drawn('g', {class: 'region', role: 'button', tabindex: this.regions.size ? -1 : 0}, halo, label);
      group.dataset.region = code;
      label.textContent = code;
      region = {code, group, label, halo, line, machines: new Set(), x: null, y: null};
      this.regions.set(code, region);
      this.top.prepend(line);
      this.top.append(group);
      this.isStale = true;
    }
    return region;
  }

  // Draw what has changed. Titles are written when one points at the region, since most are never read.
  draw() {
    for (const {region: code, folded} of this.fleet.lanes.values()) {
      if (!folded[0]) continue;
      const region = this.region(code);
      const text = `${code} +${folded[0]}`;
      if (region.label.textContent === text) continue;
      region.label.textContent = text;
      region.isChanged = this.isStale = true;
    }
    if (this.width && this.isStale) this.layOut();
    for (const region of this.regions.values()) {
      if (!region.isChanged) continue;
      region.isChanged = false;
      const {all, done, failed} = this.fleet.count(region.machines, this.fleet.lanes.get(region.code)?.folded);
      const failures = failed ? `, ${failed} failed` : '';
      region.group.setAttribute('aria-label', `${region.code}: ${done} of ${all} done${failures}`);
      style(region.group, `region${failed ? ' bad' : ''}`);
    }
  }

  point({target}) {
    const path = target.closest('.region path');
    const found = path && [...this.markers].find(([, marker]) => marker.path === path);
    if (!found || !found[1].isTitleStale) return;
    const [machine, marker] = found;
    marker.isTitleStale = false;
    write(marker.title, [machine.title, phaseText(machine), version(machine, this.fleet), machine.detail].filter(Boolean).join('\n'));
  }

  // Boxes around the positions of the regions, pushed apart until none is above another.
  layOut() {
    this.isStale = false;
    const {width, height} = this;
    this.svg.setAttribute('viewBox', `0 0 ${width} ${height}`);
    if (this.drawnWidth !== width) this.drawGround();
    const size = width < 600 ? 8 : 11;
    let free = 0;
    const boxes = [...this.regions.values()].filter(region => !this.isEmpty(region));
    for (const region of this.regions.values()) region.group.classList.toggle('empty', this.isEmpty(region));
    for (const region of boxes) {
      const columns = Math.max(2, Math.ceil(Math.sqrt(region.machines.size * 1.7)));
      const rows = Math.ceil(region.machines.size / columns);
      const position = this.positions[region.code];
      const least = region.label.textContent.length * 6 + 10;
      Object.assign(region, {columns, w: Math.max(least, columns * size + 6), h: rows * size + 18});
      // A region without a known position is at the bottom.
      const home = position ? this.place(position[1], position[0]) : [40 + 60 * free++, height - 20];
      Object.assign(region, {homeX: home[0], homeY: home[1], isKnown: Boolean(position)});
      region.x = region.homeX;
      region.y = region.homeY;
    }
    spread(boxes, width, height);
    for (const region of boxes) {
      region.group.setAttribute('transform', `translate(${(region.x - region.w / 2).toFixed(1)} ${(region.y - region.h / 2 + 14).toFixed(1)})`);
      set(region.halo, {x: 0, y: -14, width: region.w, height: region.h});
      set(region.line, {x1: region.x, y1: region.y, x2: region.homeX, y2: region.homeY});
      style(region.line, region.isKnown ? '' : 'none');
      if (!region.isRegrouped) continue;
      region.isRegrouped = false;
      let number = 0;
      for (const machine of region.machines) {
        const [column, row] = [number % region.columns, Math.floor(number / region.columns)];
        const x = 3 + size / 2 + column * size;
        this.markers.get(machine).path.setAttribute('transform', `translate(${x} ${size / 2 + 1 + row * size}) scale(${size / 11})`);
        number += 1;
      }
    }
  }

  isEmpty({code, machines}) {
    return !machines.size && !this.fleet.lanes.get(code)?.folded[0];
  }

  place(longitude, latitude) {
    const x = ((longitude - WEST) / (EAST - WEST)) * this.width;
    return [x, ((NORTH - latitude) / (NORTH - SOUTH)) * this.height];
  }

  drawGround() {
    this.drawnWidth = this.width;
    const path = points => points.map(point => point.map(value => value.toFixed(1)).join(' ')).join('L');
    const lines = [];
    for (let at = -150; at <= 180; at += 30) lines.push(path([this.place(at, NORTH), this.place(at, SOUTH)]));
    for (let at = -30; at <= 60; at += 30) lines.push(path([this.place(WEST, at), this.place(EAST, at)]));
    const land = LAND.map(text => {
      const numbers = text.split(' ').map(Number);
      const pairs = numbers.flatMap((value, index) => (index % 2 ? [] : [this.place(value, numbers[index + 1])]));
      return `M${path(pairs)}Z`;
    });
    this.ground.replaceChildren(
      drawn('path', {class: 'grid', d: lines.map(line => `M${line}`).join('')}),
      drawn('path', {class: 'land', d: land.join('')}),
    );
  }

  pick(group) {
    if (group) this.onPick(group.dataset.region);
  }

  // One stop for Tab, arrows between the regions from west to east.
  onKey(event) {
    const group = event.target.closest('.region');
    if (!group) return;
    if (event.key === 'Enter' || event.key === ' ') {
      event.preventDefault();
      return this.pick(group);
    }
    const step = {ArrowRight: 1, ArrowDown: 1, ArrowLeft: -1, ArrowUp: -1}[event.key];
    if (!step) return;
    event.preventDefault();
    const order = [...this.regions.values()].filter(region => !this.isEmpty(region)).sort((a, b) => a.homeX - b.homeX);
    const at = order.findIndex(region => region.group === group);
    const next = order[(at + step + order.length) % order.length].group;
    group.setAttribute('tabindex', -1);
    next.setAttribute('tabindex', 0);
    next.focus();
  }
}

function set(node, attributes) {
  for (const [name, value] of Object.entries(attributes)) node.setAttribute(name, value.toFixed ? value.toFixed(1) : value);
}

function spread(boxes, width, height) {
  const GAP = 4;
  for (let round = 0; round < 120; round += 1) {
    let isMoved = false;
    for (const [index, one] of boxes.entries()) {
      for (const other of boxes.slice(index + 1)) {
        const [dx, dy] = [other.x - one.x, other.y - one.y];
        const overX = (one.w + other.w) / 2 + GAP - Math.abs(dx);
        const overY = (one.h + other.h) / 2 + GAP - Math.abs(dy);
        if (overX <= 0 || overY <= 0) continue;
        isMoved = true;
        // They keep their order: the one that is farther west or north stays there.
        const [axis, home, over] = overX < overY ? ['x', 'homeX', overX] : ['y', 'homeY', overY];
        const push = (over / 2) * (other[home] < one[home] ? -1 : 1);
        one[axis] -= push;
        other[axis] += push;
      }
    }
    for (const box of boxes) {
      box.x = Math.min(width - box.w / 2 - 1, Math.max(box.w / 2 + 1, box.x));
      box.y = Math.min(height - box.h / 2 - 1, Math.max(box.h / 2 + 1, box.y));
    }
    if (!isMoved) break;
  }
}
