// The constants that differ from the baseline, in the verified head and in the working line, to copy.

import { copyButton, element, plain, table } from "../dom.js";

export function valuesView({ head_words: headWords, values }) {
  if (values.working.length + values.head.length === 0) return null;
  const parts = [[headWords, values.head], ["working line", values.working]].filter(([, listed]) => listed.length > 0);
  const isOne = parts.length === 2 && JSON.stringify(values.head) === JSON.stringify(values.working);
  const shown = isOne ? [[`${headWords} and working line`, values.head]] : parts;
  return element("details", { class: "best-values" }, element("summary", {}, "Best values: constants that differ from the baseline"), shown.map(([name, listed]) => partView(name, listed)));
}

function partView(name, listed) {
  const columns = [{ name: "constant" }, { name: "baseline", figure: true }, { name, figure: true }];
  const rows = listed.map(({ name: constant, baseline, value }) => [element("code", {}, plain(constant)), element("bdi", {}, plain(baseline)), element("bdi", {}, plain(value))]);
  const text = listed.map(({ name: constant, value }) => `${constant} = ${value}`).join("\n");
  return [table(`Values of the ${name}`, columns, rows), element("p", {}, copyButton(`Copy the values of the ${name}`, () => text))];
}
