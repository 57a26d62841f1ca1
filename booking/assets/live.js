// Keeps the departures board and the chat of a flight up to date by a WebSocket. Both pages work without it.
"use strict";
(() => {
  const told = document.getElementById("live");
  const scheme = location.protocol === "https:" ? "wss" : "ws";
  const hour = (text) => (text ? text.slice(11, 16) : "");

  // Connects, and again after a while that grows, with a part of chance so that not all come at once. A connection that
  // is ended before it has shown anything does not shorten the while.
  const follow = (path, opened, heard) => {
    let pause = 500;
    let socket = null;
    const connect = () => {
      socket = new WebSocket(`${scheme}://${location.host}${path}`);
      socket.onopen = () => {
        told.textContent = "Up to date. Times are UTC.";
        opened(socket);
      };
      socket.onmessage = (event) => {
        const value = JSON.parse(event.data);
        if (value.type === "caught_up" || value.type === "board") {
          pause = 500;
        }
        heard(value, socket);
      };
      socket.onclose = (event) => {
        if (event.code === 4401) {
          told.textContent = "You are not signed in any more.";
          return;
        }
        told.textContent = "The connection is lost; it is made again.";
        setTimeout(connect, pause * (0.5 + Math.random()));
        pause = Math.min(pause * 2, 15000);
      };
    };
    connect();
    return () => socket;
  };

  const board = document.getElementById("board");
  if (board) {
    const cell = (name, text) => {
      const made = document.createElement(name);
      made.textContent = text;
      return made;
    };
    const row = (line) => {
      const made = document.createElement("tr");
      const flight = document.createElement("th");
      flight.scope = "row";
      const link = cell("a", line.flight_no);
      link.href = `/flights/${line.flight_id}`;
      flight.append(link);
      const at = new Date(line.scheduled_departure);
      const day = at.toLocaleDateString("en-GB", { day: "numeric", month: "short", year: "numeric", timeZone: "UTC" });
      made.append(
        cell("td", `${day}, ${hour(line.scheduled_departure)}`), flight,
        cell("td", `${line.city} (${line.arrival_airport})`), cell("td", line.aircraft_code),
        cell("td", line.status), cell("td", hour(line.actual_departure)),
      );
      return made;
    };
    const airport = encodeURIComponent(board.dataset.airport);
    follow(`/live/departures?airport=${airport}`, () => {}, (value) => {
      board.querySelector("tbody").replaceChildren(...value.departures.map(row));
    });
  }

  const chat = document.getElementById("chat");
  if (chat) {
    const form = document.getElementById("say");
    const input = form.elements.namedItem("text");
    // What was said and is not confirmed, by its key: it is said again after a lost connection, and stored once.
    const waiting = new Map();
    const last = () => {
      const shown = chat.querySelector("li:last-child");
      return shown ? Number(shown.dataset.id) : 0;
    };
    const show = (message) => {
      const item = document.createElement("li");
      item.dataset.id = message.id;
      if (String(message.customer_id) === chat.dataset.customer) {
        item.className = "own";
      }
      const name = document.createElement("strong");
      name.textContent = message.name;
      const time = document.createElement("span");
      time.className = "soft";
      time.textContent = hour(message.sent_at);
      const text = document.createElement("p");
      text.textContent = message.text;
      item.append(name, " ", time, text);
      chat.append(item);
      item.scrollIntoView({ block: "nearest" });
    };
    const say = (socket, key, text) => socket.send(JSON.stringify({ type: "say", key, text }));
    const heard = (value, socket) => {
      if (value.type === "message" && value.id > last()) {
        show(value);
      } else if (value.type === "caught_up") {
        waiting.forEach((text, key) => say(socket, key, text));
      } else if (value.type === "stored") {
        waiting.delete(value.key);
      } else if (value.type === "refused" && value.retry_after_s) {
        told.textContent = `${value.reason}; it is said again in ${value.retry_after_s} s.`;
        setTimeout(() => {
          const now = current();
          if (waiting.has(value.key) && now.readyState === WebSocket.OPEN) {
            say(now, value.key, waiting.get(value.key));
          }
        }, value.retry_after_s * 1000);
      } else if (value.type === "refused") {
        waiting.delete(value.key);
        told.textContent = `The message is refused: ${value.reason}.`;
      }
    };
    const hello = (socket) => socket.send(JSON.stringify({ type: "hello", after: last() }));
    const current = follow(`/live/flights/${chat.dataset.flight}/chat`, hello, heard);
    form.addEventListener("submit", (event) => {
      const text = input.value.trim();
      // Without a connection the form is sent as any form, unless a message waits: the new page would lose it.
      const isOpen = current().readyState === WebSocket.OPEN;
      if (!isOpen && waiting.size === 0) {
        return;
      }
      event.preventDefault();
      if (text === "") {
        return;
      }
      const bytes = crypto.getRandomValues(new Uint8Array(16));
      const key = Array.from(bytes, (byte) => byte.toString(16).padStart(2, "0")).join("");
      waiting.set(key, text);
      // What is said without a connection goes with all that waits, when there is one.
      if (isOpen) {
        say(current(), key, text);
      }
      input.value = "";
    });
  }
})();
