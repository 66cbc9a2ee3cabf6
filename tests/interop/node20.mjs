// What js-libp2p 3 needs of Node 22 that Node 20 has not. To be imported before it.

Promise.withResolvers ??= function withResolvers() {
  let resolve;
  let reject;
  const promise = new Promise((...settlers) => ([resolve, reject] = settlers));
  return { promise, resolve, reject };
};
