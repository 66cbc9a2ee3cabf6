// The layout of an ancestry graph like `git log --graph`: one row for each node, the newest first.

// `edges` are {from, to}. Returns the nodes in row order. Each has its column `lane`, the columns
// `passing` through its row, and `joins`, the columns in which its bases follow below.
export function rowsOf(nodes, edges) {
  const ordered = inOrder(nodes, edges);
  const known = new Set(ordered.map(({ tree }) => tree));
  const bases = new Map();
  for (const { from, to } of edges) {
    if (known.has(from) && known.has(to) && from !== to) bases.set(to, [...(bases.get(to) ?? []), from]);
  }
  const waiting = []; // for each column the next tree below, or null
  return ordered.map((node) => {
    const before = [...waiting];
    let lane = waiting.indexOf(node.tree);
    const isAwaited = lane >= 0;
    if (!isAwaited) lane = freeLane(waiting);
    waiting[lane] = null;
    const joins = (bases.get(node.tree) ?? []).map((base) => laneFor(waiting, base, lane));
    const passing = before.map((tree, at) => (tree !== null && at !== lane ? at : null)).filter((at) => at !== null);
    while (waiting.length > 0 && waiting.at(-1) === null) waiting.pop();
    return { ...node, lane, isAwaited, joins, passing };
  });
}

// Newest first, but no node above its descendants, whatever the clocks of peers say.
function inOrder(nodes, edges) {
  const byTree = new Map(nodes.map((node) => [node.tree, node]));
  const left = new Map(nodes.map(({ tree }) => [tree, 0])); // number of children that are not placed yet
  const bases = new Map();
  for (const { from, to } of edges) {
    if (!byTree.has(from) || !byTree.has(to) || from === to) continue;
    left.set(from, left.get(from) + 1);
    bases.set(to, [...(bases.get(to) ?? []), from]);
  }
  const byTime = [...nodes].sort((one, other) => other.ts - one.ts);
  const placed = new Set();
  const ordered = [];
  const place = (first) => {
    const stack = [first];
    while (stack.length > 0) {
      const tree = stack.pop();
      if (placed.has(tree)) continue;
      placed.add(tree);
      ordered.push(byTree.get(tree));
      for (const base of bases.get(tree) ?? []) {
        left.set(base, left.get(base) - 1);
        if (left.get(base) === 0 && isDue.has(base)) stack.push(base);
      }
    }
  };
  const isDue = new Set();
  for (const { tree } of byTime) {
    isDue.add(tree);
    if (left.get(tree) === 0) place(tree);
  }
  // Cycles, which only peers' claims can contain, are cut at their newest node.
  for (const { tree } of byTime) place(tree);
  return ordered;
}

function laneFor(waiting, base, preferred) {
  const known = waiting.indexOf(base);
  if (known >= 0) return known;
  const lane = waiting[preferred] === null || waiting[preferred] === undefined ? preferred : freeLane(waiting);
  waiting[lane] = base;
  return lane;
}

function freeLane(waiting) {
  const free = waiting.indexOf(null);
  return free >= 0 ? free : waiting.length;
}
