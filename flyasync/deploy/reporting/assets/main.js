// Show a recording that is in the page, or else the events that the server sends.

import {byId, write} from './elements.js';
import {Page, Slider} from './page.js';

const MOST_REPLAYED = 20000; // events that a slider moves through

function replay(recording) {
  new Slider(new Page(recording), recording.events);
}

function live() {
  const source = new EventSource('events');
  let page = null;
  let events = [];
  const on = (name, handle) => source.addEventListener(name, message => handle(JSON.parse(message.data)));
  const receive = ({now, events: fresh, limits}) => {
    const received = performance.now();
    page.clock = () => now + (page.fleet.status ? 0 : (performance.now() - received) / 1000);
    for (const event of fresh) if (events.length <= MOST_REPLAYED) events.push(event);
    page.apply(fresh);
    if (limits) page.limits.draw(limits);
  };
  // Everything so far: what a page opened late, or after a lost connection, has missed.
  on('snapshot', snapshot => {
    write(byId('connection'), 'live');
    if (page) page.show([]);
    else page = new Page(snapshot);
    events = [];
    receive(snapshot);
  });
  on('batch', receive);
  on('end', () => {
    source.close();
    clearInterval(ticking);
    write(byId('connection'), 'the command has ended');
    if (page?.fleet.status && events.length <= MOST_REPLAYED) new Slider(page, events);
  });
  source.onerror = () => write(byId('connection'), `the command does not answer${source.readyState === EventSource.CLOSED ? '' : '; trying again'}`);
  const ticking = setInterval(() => page?.ask(), 1000);
}

const recording = byId('recording');
if (recording) replay(JSON.parse(recording.textContent));
else live();
