// Puts the number of proposals that wait for the owner in front of the page's title, as in a mailbox.

const COUNT = /^\(\d+\) /;

export async function countInTitle({ api, kind }, bus) {
  if (kind === "bootstrap") return; // it proposes nothing
  let waiting = 0;
  const put = () => {
    const bare = document.title.replace(COUNT, "");
    const wanted = waiting > 0 ? `(${waiting}) ${bare}` : bare;
    if (document.title !== wanted) document.title = wanted;
  };
  const read = async () => {
    try {
      ({ waiting } = await api.get("proposals"));
      put();
    } catch {
      // the count is only an extra: the view shows what is wrong
    }
  };
  new MutationObserver(put).observe(document.querySelector("title"), { childList: true });
  bus.addEventListener("proposal", ({ detail }) => {
    waiting = detail.waiting;
    put();
  });
  bus.addEventListener("gap", read);
  await read();
}
