// What clients and rooms of the party `every` say to each other, and a client that speaks it.
// Written by partyrs from the Rust types; a change here is lost when it is written again.

import PartySocket, { type PartySocketOptions } from "partysocket";

/** What a client may send. */
export type ClientMessage =
  /** No keys. */
  | { type: "nothing" }
  /** Numbers, as JSON has them. */
  | {
      type: "numbers";
      small: number;
      signed: number;
      large: number;
      largest: number;
      single: number;
      double: number;
      wide: number;
    }
  /**
   * Texts.
   *
   * In two paragraphs, and with the end of a comment: *\/
   */
  | {
      type: "texts";
      text: string;
      /** Exactly 1 character. */
      letter: string;
      "with \"quotes\"": string;
    }
  /** What may be missing or null. */
  | {
      type: "options";
      leftOut?: string | null;
      maybe?: number | null;
      nested?: boolean | null;
      orZero?: number;
    }
  /** Lists and tuples. */
  | {
      type: "lists";
      list: string[];
      pair: [number, string];
      three: [number, number, number];
      matrix: number[][];
      options: (number | null)[];
    }
  /** Maps. */
  | {
      type: "maps";
      byName: { [key: string]: number[] };
      byNumber: { [key: string]: boolean };
      ofMaps: { [key: string]: { [key: string]: number } };
    }
  /** What is not JSON by itself. */
  | {
      type: "others";
      bytes: BytesInput;
      when: string;
      wait: Duration;
      any: unknown;
      unit: null;
    }
  /** A list of all figures. */
  | {
      type: "figures";
      figures: FigureInput[];
      ids: Id[];
      colour: Colour;
      tree: Tree;
    }
  /** The keys of a struct stand beside the tag. */
  | ({ type: "move" } & PointInput)
  /** So do those of an enum with a tag of its own. */
  | ({ type: "draw" } & FigureInput)
  /** Keys of a struct beside others. */
  | ({
      type: "flat";
      name: string;
    } & PointInput)
  /** All keys that are left. */
  | ({
      type: "rest";
      name: string;
    } & { [key: string]: unknown })
  /** A rule for each of its values. */
  | {
      type: "ruled";
      /** 1 to 5 characters. */
      name: string;
      /** At most 2 items. */
      words: string[];
      /** -1 to 1. */
      sign?: number;
      /** Matches `^[a-z]*$`. */
      slug?: string | null;
    }
  /** Rules that the types of the values have. */
  | {
      type: "nested";
      /** At most 2 items. */
      seats: SeatInput[];
    };

/** What a room sends. */
export type RoomMessage =
  /** No keys. */
  | { type: "nothing" }
  /** Numbers, as JSON has them. */
  | {
      type: "numbers";
      small: number;
      signed: number;
      large: number;
      largest: number;
      single: number;
      double: number;
      wide: number;
    }
  /**
   * Texts.
   *
   * In two paragraphs, and with the end of a comment: *\/
   */
  | {
      type: "texts";
      text: string;
      /** Exactly 1 character. */
      letter: string;
      "with \"quotes\"": string;
    }
  /** What may be missing or null. */
  | {
      type: "options";
      maybe: number | null;
      orZero: number;
      nested: boolean | null;
      leftOut?: string | null;
    }
  /** Lists and tuples. */
  | {
      type: "lists";
      list: string[];
      pair: [number, string];
      three: [number, number, number];
      matrix: number[][];
      options: (number | null)[];
    }
  /** Maps. */
  | {
      type: "maps";
      byName: { [key: string]: number[] };
      byNumber: { [key: string]: boolean };
      ofMaps: { [key: string]: { [key: string]: number } };
    }
  /** What is not JSON by itself. */
  | {
      type: "others";
      bytes: Bytes;
      when: string;
      wait: Duration;
      any: unknown;
      unit: null;
    }
  /** A list of all figures. */
  | {
      type: "figures";
      figures: Figure[];
      ids: Id[];
      colour: Colour;
      tree: Tree;
    }
  /** The keys of a struct stand beside the tag. */
  | ({ type: "move" } & Point)
  /** So do those of an enum with a tag of its own. */
  | ({ type: "draw" } & Figure)
  /** Keys of a struct beside others. */
  | ({
      type: "flat";
      name: string;
    } & Point)
  /** All keys that are left. */
  | ({
      type: "rest";
      name: string;
    } & { [key: string]: unknown })
  /** A rule for each of its values. */
  | {
      type: "ruled";
      name: string;
      sign: number;
      words: string[];
      slug: string | null;
    }
  /** Rules that the types of the values have. */
  | {
      type: "nested";
      seats: Seat[];
    }
  /** The room could not read what was sent. */
  | {
      type: "error";
      /** What was wrong, for a person. */
      error: string;
      /** The most that is right. */
      max?: number;
      /** The least that is right. */
      min?: number;
      /** Which value broke a rule, such as `say.text`. */
      path?: string;
      /** Which rule it was, such as `len`. */
      rule?: string;
    };

export type Bytes = number[];

export type BytesInput = number[] | string;

export type Colour =
  | "red"
  /** As grass is. */
  | "green";

export type Duration = {
  secs: number;
  nanos: number;
};

export type Figure =
  /** By its radius. */
  | {
      kind: "circle";
      value: number;
    }
  | {
      kind: "line";
      value: { ends: [Point, Point] };
    }
  | { kind: "dot-dot" };

export type FigureInput =
  /** By its radius. */
  | {
      kind: "circle";
      value: number;
    }
  | {
      kind: "line";
      value: { ends: [PointInput, PointInput] };
    }
  | { kind: "dot-dot" };

export type Id = number | string;

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

/** It has rules of its own, and may hold others. */
export type Seat = {
  rowNumber: number;
  names: string[];
  ticket: Ticket | null;
  beside: Seat[];
};

/** It has rules of its own, and may hold others. */
export type SeatInput = {
  /** 1 to 40. */
  rowNumber: number;
  names: string[];
  /** At most 1 item. */
  beside: SeatInput[];
  ticket?: TicketInput | null;
};

/** No longer than that. */
export type Ticket = string;

/**
 * No longer than that.
 * 2 to 4 characters.
 */
export type TicketInput = string;

/** It holds itself. */
export type Tree = { children: Tree[] };

/** The values of "type" that this module knows. */
const NAMES: ReadonlySet<unknown> = new Set(["draw", "error", "figures", "flat", "lists", "maps", "move", "nested", "nothing", "numbers", "options", "others", "rest", "ruled", "texts"]);

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
  return new Connection(new PartySocket({ party: "every", ...options }));
}

/** A connection to a room, which comes back by itself when it is lost. */
export class Connection {
  /** What is below: `open`, `close` and `error` events, `reconnect()`, `updateProperties(..)`. */
  readonly socket: PartySocket;
  readonly #listeners = new Set<(message: RoomMessage) => void>();
  readonly #unknownListeners = new Set<(data: unknown) => void>();
  readonly #binaryListeners = new Set<(data: ArrayBuffer) => void>();

  constructor(socket: PartySocket) {
    this.socket = socket;
    socket.binaryType = "arraybuffer";
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

  /** Calls `listener` with each binary frame, until the function that it returns is called. */
  onBinary(listener: (data: ArrayBuffer) => void): () => void {
    this.#binaryListeners.add(listener);
    return () => void this.#binaryListeners.delete(listener);
  }

  /** Sends it, and says whether it has left; if not, it waits for a connection. */
  send(message: ClientMessage): boolean {
    return this.socket.send(JSON.stringify(message));
  }

  /** Sends a binary frame, and says whether it has left; if not, it waits for a connection. */
  sendBinary(data: ArrayBuffer | ArrayBufferView<ArrayBuffer> | Blob): boolean {
    return this.socket.send(data);
  }

  /** Closes the connection for good. */
  close(code?: number, reason?: string): void {
    this.socket.close(code, reason);
  }

  #receive(data: unknown): void {
    if (data instanceof ArrayBuffer) {
      for (const listener of [...this.#binaryListeners]) listener(data);
      return;
    }
    const message = parse(data);
    if (message === undefined) {
      for (const listener of [...this.#unknownListeners]) listener(data);
    } else {
      for (const listener of [...this.#listeners]) listener(message);
    }
  }
}
