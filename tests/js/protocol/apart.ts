// What clients and rooms of the party `apart` say to each other, and a client that speaks it.
// Written by partyrs from the Rust types; a change here is lost when it is written again.

import PartySocket, { type PartySocketOptions } from "partysocket";

/** What a client may send. */
export type ClientMessage =
  | { op: "NOTHING" }
  | {
      op: "EMPTY";
      data: { [key: string]: never };
    }
  | {
      op: "FIELDS";
      data: {
        name: string;
        maybe?: number | null;
      };
    }
  | {
      op: "ONE";
      data: number;
    }
  | {
      op: "PERHAPS";
      data?: number | null;
    }
  | {
      op: "SEVERAL";
      data: [number, string];
    }
  | {
      op: "MANY";
      data: PointInput[];
    };

/** What a room sends. */
export type RoomMessage =
  | { op: "NOTHING" }
  | {
      op: "EMPTY";
      data: { [key: string]: never };
    }
  | {
      op: "FIELDS";
      data: {
        name: string;
        maybe: number | null;
      };
    }
  | {
      op: "ONE";
      data: number;
    }
  | {
      op: "PERHAPS";
      data: number | null;
    }
  | {
      op: "SEVERAL";
      data: [number, string];
    }
  | {
      op: "MANY";
      data: Point[];
    };

/** Where something is. */
export type Point = {
  fromLeft: number;
  fromTop: number;
  /** Nobody's, at first. */
  owner: string | null;
};

/** Where something is. */
export type PointInput = {
  fromLeft: number;
  fromTop?: number;
  /** Nobody's, at first. */
  owner?: string | null;
};

/** The values of "op" that this module knows. */
const NAMES: ReadonlySet<unknown> = new Set(["EMPTY", "FIELDS", "MANY", "NOTHING", "ONE", "PERHAPS", "SEVERAL"]);

/**
 * The message in the data of a text frame; `undefined` if it is none that this module knows, as that of a
 * room which is newer. Its other keys are not looked at: they are as the room's types say.
 */
export function parse(data: unknown): RoomMessage | undefined {
  if (typeof data !== "string") return undefined;
  let message: unknown;
  try {
    message = JSON.parse(data);
  } catch {
    return undefined;
  }
  if (typeof message !== "object" || message === null || !("op" in message)) return undefined;
  return NAMES.has(message["op"]) ? (message as RoomMessage) : undefined;
}

/** Connects to a room, by the options of `PartySocket`. Listeners that are added at once miss nothing. */
export function connect(options: PartySocketOptions): Connection {
  return new Connection(new PartySocket({ party: "apart", ...options }));
}

/** A connection to a room, which comes back by itself when it is lost. */
export class Connection {
  /** What is below: `open`, `close` and `error` events, `reconnect()`, `updateProperties(..)`. */
  readonly socket: PartySocket;
  readonly #listeners = new Set<(message: RoomMessage) => void>();
  readonly #unknownListeners = new Set<(data: unknown) => void>();

  constructor(socket: PartySocket) {
    this.socket = socket;
    socket.addEventListener("message", (event) => this.#receive(event.data));
  }

  /** Calls `listener` with each message of this "op", until the function that it returns is called. */
  on<Name extends RoomMessage["op"]>(
    name: Name,
    listener: (message: Extract<RoomMessage, { op: Name }>) => void,
  ): () => void {
    return this.onMessage((message) => {
      if (message["op"] === name) listener(message as Extract<RoomMessage, { op: Name }>);
    });
  }

  /** Calls `listener` with each message, until the function that it returns is called. */
  onMessage(listener: (message: RoomMessage) => void): () => void {
    this.#listeners.add(listener);
    return () => void this.#listeners.delete(listener);
  }

  /** Calls `listener` with the data of each frame that is no message which this module knows. */
  onUnknown(listener: (data: unknown) => void): () => void {
    this.#unknownListeners.add(listener);
    return () => void this.#unknownListeners.delete(listener);
  }

  /** Sends it, and says whether it has left; if not, it waits for a connection. */
  send(message: ClientMessage): boolean {
    return this.socket.send(JSON.stringify(message));
  }

  /** Closes the connection for good. */
  close(code?: number, reason?: string): void {
    this.socket.close(code, reason);
  }

  #receive(data: unknown): void {
    const message = parse(data);
    if (message === undefined) {
      for (const listener of [...this.#unknownListeners]) listener(data);
    } else {
      for (const listener of [...this.#listeners]) listener(message);
    }
  }
}
