import { registerConformance } from "./conformance.ts";
import { openReference } from "../lib/backends/reference.ts";
registerConformance("reference", () => Promise.resolve(openReference()));
