/** The worker: the library does all the work. */

import { serveSession, type SessionPort } from "@lm/core";

serveSession(globalThis as unknown as SessionPort);
