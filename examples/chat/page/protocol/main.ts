// What clients and rooms of the party `main` say to each other, and a client that speaks it.
// Written by partyrs from the Rust types; a change here is lost when it is written again.

import PartySocket, { type PartySocketOptions } from "partysocket";

/** What a client may send. */
export type ClientMessage =
  /** I am here, and this is my name; again, to change it. */
  | {
      type: "join";
      /** White space around it is taken away. */
      name: Name;
    }
  /** For everyone in the room, once the sender has joined. */
  | {
      type: "say";
      /**
       * Kept as it is; not only white space.
       * 1 to 2000 characters.
       */
      text: string;
    };

/** What a room sends. */
export type RoomMessage =
  /** The first message of each connection, in place of all that was known before. */
  | {
      type: "welcome";
      /** The id of this connection. */
      you: string;
      /** The last 200, oldest first. */
      messages: Message[];
      /** Who has joined. */
      people: Person[];
    }
  /** Somebody said something; to its author too. */
  | {
      type: "said";
      /** As it is kept. */
      message: Message;
    }
  /** Somebody has joined, or has a new name. */
  | {
      type: "joined";
      /** By the new name. */
      person: Person;
    }
  /** The last connection of somebody who had joined has gone. */
  | {
      type: "left";
      /** Of the connection. */
      id: string;
    }
  /** What this client sent was refused, and nothing has changed. */
  | {
      type: "error";
      /** Why, for a person. */
      error: string;
    };

/** A message as it is kept and as it is sent. */
export type Message = {
  /** Its number in the room, padded with zeros, so that ids sort as text. */
  id: string;
  /** Connection id of the author. */
  from: string;
  /** The author's name when it was said. */
  name: string;
  /** As it was sent. */
  text: string;
  /** Unix time in milliseconds. */
  at: number;
};

/**
 * Without white space around it.
 * 1 to 40 characters.
 */
export type Name = string;

/** Someone who has joined. */
export type Person = {
  /** Of the connection. */
  id: string;
  /** As it was given last. */
  name: string;
};

/** The values of "type" that this module knows. */
const NAMES: ReadonlySet<unknown> = new Set(["error", "joined", "left", "said", "welcome"]);

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
  if (typeof message !== "object" || message === null || !("type" in message)) return undefined;
  return NAMES.has(message["type"]) ? (message as RoomMessage) : undefined;
}

/** Connects to a room, by the options of `PartySocket`. Listeners that are added at once miss nothing. */
export function connect(options: PartySocketOptions): Connection {
  return new Connection(new PartySocket({ party: "main", ...options }));
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

  /** Calls `listener` with each message of this "type", until the function that it returns is called. */
  on<Name extends RoomMessage["type"]>(
    name: Name,
    listener: (message: Extract<RoomMessage, { type: Name }>) => void,
  ): () => void {
    return this.onMessage((message) => {
      if (message["type"] === name) listener(message as Extract<RoomMessage, { type: Name }>);
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
