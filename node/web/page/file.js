// A night in a file of its own: the page's view of a report that is written into the file.

import { refill } from "./dom.js";
import { nightView } from "./parts/night.js";

const night = JSON.parse(document.getElementById("night").textContent);
const never = new AbortController();
refill(document.getElementById("part"), nightView(night, { signal: never.signal, open: () => {} }));
