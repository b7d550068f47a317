// A page of one component that uses `usePartySocket`, and what a test needs to see of it.
//
// The address says how it begins: `?strict` puts the component into StrictMode, `?options=` holds
// the first options of the socket, as JSON.

import { StrictMode, useState } from "react";
import { createRoot } from "react-dom/client";
import usePartySocket from "partysocket/react";

const parameters = new URLSearchParams(location.search);

const page = {
  /** What was opened under `partysocket`, in order. */
  natives: [],
  /** Each instance that the hook has given, in order. */
  sockets: [],
  /** What the handlers of the hook have been told: `open`, `close`, or a message. */
  told: [],
  /** How often the component has been rendered; handlers are new each time. */
  rendered: 0,
  /** Changes options of the hook, as a parent does by new properties. */
  change: undefined,
  /** The instance of now. */
  get socket() {
    return page.sockets.at(-1);
  },
  get openCount() {
    return page.natives.filter(({ readyState }) => readyState === WebSocket.OPEN).length;
  },
  unmount: () => root.unmount(),
};
globalThis.page = page;

class Noted extends WebSocket {
  constructor(...parts) {
    super(...parts);
    page.natives.push(this);
  }
}

function Client() {
  const [options, setOptions] = useState(JSON.parse(parameters.get("options") ?? "{}"));
  page.change = (changed) => setOptions((before) => ({ ...before, ...changed }));
  page.rendered += 1;
  const { rendered } = page;
  const socket = usePartySocket({
    WebSocket: Noted,
    minReconnectionDelay: 50,
    maxReconnectionDelay: 200,
    ...options,
    onOpen: () => page.told.push({ type: "open", rendered }),
    onClose: () => page.told.push({ type: "close", rendered }),
    onMessage: ({ data }) => page.told.push({ ...JSON.parse(data), rendered }),
  });
  if (page.socket !== socket) page.sockets.push(socket);
  return <p>{socket.room}</p>;
}

const root = createRoot(document.body);
root.render(parameters.has("strict") ? <StrictMode><Client /></StrictMode> : <Client />);
