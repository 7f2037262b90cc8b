// Elements and texts. All text is inserted as text nodes: nothing that the API returns becomes markup.

const SVG = 'http://www.w3.org/2000/svg';

export const byId = id => document.getElementById(id);

export function element(name, attributes = {}, ...children) {
  return filled(document.createElement(name), attributes, children);
}

export function drawn(name, attributes = {}, ...children) {
  return filled(document.createElementNS(SVG, name), attributes, children);
}

function filled(made, attributes, children) {
  for (const [name, value] of Object.entries(attributes)) {
    if (value !== null && value !== undefined && value !== false) made.setAttribute(name, value);
  }
  made.append(...children.filter(child => child !== null));
  return made;
}

// Writing a text again that is there already would cost a layout.
export function write(node, text) {
  if (node.textContent !== text) node.textContent = text;
}

export function style(node, name) {
  if (node.getAttribute('class') !== name) node.setAttribute('class', name);
}

// Two parts of a bar, by transforms alone: they need no layout.
export function fill(done, failed, doneCount, failedCount, all) {
  const [one, two] = [doneCount / (all || 1), failedCount / (all || 1)];
  done.style.transform = `scaleX(${one})`;
  failed.style.transform = `translateX(${100 * one}%) scaleX(${two})`;
}

export function duration(seconds) {
  if (seconds >= 6000) return `${Math.floor(seconds / 3600)} h ${Math.ceil((seconds % 3600) / 60)} min`;
  const whole = seconds <= 20 ? Math.ceil(seconds) : Math.ceil(seconds / 5) * 5;
  const [minutes, rest] = [Math.floor(whole / 60), whole % 60];
  return [minutes ? `${minutes} min` : '', rest || !minutes ? `${rest} s` : ''].filter(Boolean).join(' ');
}

export function timeLeft(remaining, now) {
  if (!remaining) return '';
  const after = value => Math.max(0, value - (now - remaining.at));
  if (remaining.likely == null) return `at least ${duration(after(remaining.least))} left`;
  return after(remaining.likely) ? `about ${duration(after(remaining.likely))} left` : '';
}

export function shortImage(image) {
  const [path, digest] = (image || '').split('@');
  return path.split('/').pop() + (digest && !path.includes(':') ? `@${digest.slice(7, 19)}` : '');
}

// What a machine runs: its image is known once the deploy has created or updated it.
export function version(machine, fleet) {
  return shortImage(machine.image || (machine.isNew ? fleet.image : '')) || (machine.id ? 'its earlier version' : 'no version yet');
}

export function phaseText(machine) {
  return machine.result || machine.phase || 'waiting';
}
