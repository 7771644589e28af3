// Where the topology comes from: the server of the page, whose changes are followed, or the page itself.

// Gives {topology, ledger} of a page that was written to a file, or null.
export function embedded() {
  const element = document.getElementById('embedded');
  return element && JSON.parse(element.textContent);
}

export async function whole() {
  const answer = await fetch('/topology.json');
  return answer.json();
}

// on: {connected(), changed(change), lost()}
export function follow(on) {
  const source = new EventSource('/changes');
  source.addEventListener('hello', on.connected);
  source.addEventListener('message', ({ data }) => on.changed(JSON.parse(data)));
  source.addEventListener('error', on.lost);
}
