// Waiting for what must happen, never for time to pass: every wait has a deadline and says what was missed.

/** How long anything may take before a test gives up; generous, since it is only reached on failure. */
export const DEADLINE_MS = 15_000;

/** The value of `promise`, or an error that names `what` did not happen. */
export function within(promise, what, deadlineMs = DEADLINE_MS) {
  let timer;
  const late = new Promise((_, reject) => {
    const error = new Error(`${what}: not within ${deadlineMs} ms`);
    timer = setTimeout(() => reject(error), deadlineMs);
  });
  return Promise.race([promise, late]).finally(() => clearTimeout(timer));
}

/** The next event called `name` of an EventTarget. */
export function event(target, name, deadlineMs) {
  const happened = new Promise((resolve) => target.addEventListener(name, resolve, { once: true }));
  return within(happened, `event \`${name}\``, deadlineMs);
}

/** The JSON messages that a socket receives, kept until they are asked for, in their order. */
export class Inbox {
  #messages = [];
  #arrived = () => {};

  constructor(socket) {
    socket.addEventListener("message", ({ data }) => {
      this.#messages.push(JSON.parse(data));
      this.#arrived();
    });
  }

  /** How many messages have come and were not asked for yet. */
  get unread() {
    return this.#messages.length;
  }

  /** The next message, whatever it is. */
  async next() {
    while (this.#messages.length === 0) {
      await within(new Promise((resolve) => (this.#arrived = resolve)), "the next message");
    }
    return this.#messages.shift();
  }

  /** The next message of `type`; those before it are thrown away. */
  async nextOf(type) {
    for (;;) {
      const message = await this.next();
      if (message.type === type) return message;
    }
  }

  /** The next `count` messages of `type`. */
  async take(count, type) {
    const messages = [];
    while (messages.length < count) messages.push(await this.nextOf(type));
    return messages;
  }
}
