// A report as a self-contained file: shows the report that is stored in the file itself.

import { refill } from "./dom.js";
import { reportView } from "./parts/report.js";

const report = JSON.parse(document.getElementById("report").textContent);
const never = new AbortController();
refill(document.getElementById("part"), reportView(report, { signal: never.signal, open: () => {} }));
