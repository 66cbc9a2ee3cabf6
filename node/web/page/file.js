// A report as a self-contained file: shows the report that is stored in the file itself.

import { refill } from "./dom.js";
import { nightView } from "./parts/night.js";

const night = JSON.parse(document.getElementById("night").textContent);
const never = new AbortController();
refill(document.getElementById("part"), nightView(night, { signal: never.signal, open: () => {} }));
