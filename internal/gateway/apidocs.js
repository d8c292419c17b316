"use strict";
(() => {
  const order = ["Server", "Own routes", "Open Inference v2", "Seldon v1", "KServe v1", "TensorFlow Serving", "MLflow"];
  const base = location.pathname.replace(/docs\/?$/, "").replace(/\/$/, "");
  const main = document.getElementById("main");
  let doc = null;
  let token = ""; // of the last answer, for feedback

  // el makes an element: el("p.dim", "text", child, ...).
  function el(what, ...children) {
    const [tag, ...classes] = what.split(".");
    const node = document.createElement(tag);
    if (classes.length) node.className = classes.join(" ");
    for (const child of children) if (child !== null && child !== undefined && child !== "") node.append(child);
    return node;
  }

  // Numbers are shown as they were written: 1.0 stays 1.0, and no digit of a long one is lost.
  const tokens = /"(?:[^"\\]|\\.)*"|[{}[\],:]|[^\s{}[\],:"]+/g;

  // format lays out a JSON text; lists without lists or objects in them stay on one line.
  function format(text) {
    const list = text.match(tokens) || [];
    const out = [];
    let depth = 0;
    const line = () => out.push("\n" + "  ".repeat(depth));
    const flat = []; // for each open bracket, whether it stays on one line
    const isFlat = (at) => {
      for (let i = at + 1; i < list.length; i++) {
        if (list[i] === "]" || list[i] === "}") return true;
        if (list[i] === "[" || list[i] === "{") return false;
      }
      return true;
    };
    list.forEach((t, i) => {
      if (t === "[" || t === "{") {
        const one = list[i + 1] === "]" || list[i + 1] === "}" || (t === "[" && isFlat(i));
        flat.push(one);
        out.push(t);
        depth++;
        if (!one) line();
      } else if (t === "]" || t === "}") {
        const one = flat.pop();
        depth--;
        if (!one) line();
        out.push(t);
      } else if (t === ",") {
        out.push(t);
        if (flat[flat.length - 1]) out.push(" "); else line();
      } else if (t === ":") {
        out.push(": ");
      } else {
        out.push(t);
      }
    });
    return out.join("");
  }

  function isJSON(text) {
    try { JSON.parse(text); return true; } catch { return false; }
  }

  // coloured shows a text, as JSON where it is that.
  function coloured(text) {
    const pre = el("pre");
    pre.tabIndex = 0;
    if (text.length > 200000 || !isJSON(text)) {
      pre.textContent = text;
      return pre;
    }
    const laid = format(text);
    const all = /"(?:[^"\\]|\\.)*"(\s*:)?|-?\d[\d.eE+-]*|[^"\d-]+|-/g;
    for (const [part, colon] of laid.matchAll(all)) {
      if (part[0] === "\"" && colon) pre.append(el("span.k", part.slice(0, part.length - colon.length)), colon);
      else if (part[0] === "\"") pre.append(el("span.s", part));
      else if (/^-?\d/.test(part)) pre.append(el("span.n", part));
      else pre.append(part);
    }
    return pre;
  }

  const shape = (list) => "[" + list.map((d) => d < 0 ? "any" : d).join(", ") + "]";

  // fields lists inputs or outputs.
  function fields(title, list) {
    const card = el("div.card", el("h3", title));
    for (const f of list) {
      const names = f.columns || (f.labels || []).join(", ");
      card.append(el("div.field",
        el("code", f.name), " ", el("span.chip", f.datatype + " " + shape(f.shape)), " ",
        f.onDemand ? el("span.chip", "on demand") : "",
        names ? el("div.names.mono.dim", names) : ""));
    }
    return card;
  }

  function typeOf(s) {
    if ("const" in s) return JSON.stringify(s.const);
    if (s.enum) return s.enum.map((v) => JSON.stringify(v)).join(" | ");
    if (s.type === "array") {
      let size = "";
      if (s.minItems !== undefined && s.minItems === s.maxItems) size = " of " + s.minItems;
      return "list" + size;
    }
    if (Array.isArray(s.type)) return s.type.join(" or ");
    return s.type || (s.oneOf || s.anyOf ? "one of" : "anything");
  }

  // schema shows what is below a schema.
  function schema(s, depth) {
    const box = el("div.schema");
    const add = (name, child, must) => {
      const line = el("div", name ? el("code", name) : "", name ? " " : "", el("span.dim", typeOf(child)),
        must ? el("span.must", " required") : "", child.description ? el("span.dim", ": " + child.description) : "");
      const below = depth < 8 ? schema(child, depth + 1) : null;
      if (below && below.childElementCount) line.append(below);
      box.append(line);
    };
    for (const [name, child] of Object.entries(s.properties || {})) add(name, child, (s.required || []).includes(name));
    for (const child of s.oneOf || s.anyOf || []) add("", child, false);
    (s.prefixItems || []).forEach((child, i) => add("[" + i + "]", child, false));
    if (s.items && (s.items.properties || s.items.oneOf || s.items.anyOf || s.items.items)) add("each", s.items, false);
    return box;
  }

  // headersShown are those of an answer that people look for.
  const headersShown = ["serin-decision", "content-type", "retry-after", "seldon-puid", "allow"];

  function shellQuoted(text) {
    return "'" + text.replaceAll("'", "'\\''") + "'";
  }

  async function copy(button, text) {
    const before = button.textContent;
    try {
      await navigator.clipboard.writeText(text);
      button.textContent = "Copied";
    } catch {
      button.textContent = "Cannot copy here";
    }
    setTimeout(() => { button.textContent = before; }, 1500);
  }

  // request is the left side: what is sent.
  function request(method, path, op) {
    const side = el("div");
    const content = (op.requestBody || {}).content || {};
    const kinds = Object.keys(content);
    const parameters = [];
    for (const p of op.parameters || []) {
      const input = el("input.mono");
      input.value = p.example === undefined || p.example === null ? "" : String(p.example);
      side.append(el("label.parameter", el("code", p.name), el("span.chip", p.in), p.required ? el("span.must", "required") : "", input));
      parameters.push([p, input]);
    }
    let text = null;
    let kind = kinds[0];
    if (kinds.length) {
      text = el("textarea");
      text.spellcheck = false;
      text.setAttribute("aria-label", "Body of the request");
      const choices = [];
      for (const k of kinds) {
        const examples = content[k].examples || {};
        for (const name of Object.keys(examples)) choices.push([k, name, examples[name].value]);
        if (!Object.keys(examples).length) choices.push([k, "", ""]);
      }
      const fit = () => requestAnimationFrame(() => {
        text.style.height = "auto";
        if (text.scrollHeight) text.style.height = Math.min(text.scrollHeight + 4, 440) + "px";
      });
      const choose = (i) => {
        const [k, , value] = choices[i];
        kind = k;
        text.value = typeof value === "string" ? value : format(JSON.stringify(value));
        fit();
      };
      const head = el("div.row", el("h3", "Request"));
      if (choices.length > 1) {
        const select = el("select");
        select.setAttribute("aria-label", "Form of the request");
        choices.forEach(([k, name], i) => {
          const option = el("option", k === "application/json" ? name : k);
          option.value = i;
          select.append(option);
        });
        select.addEventListener("change", () => choose(Number(select.value)));
        head.append(select);
      }
      head.append(el("span.chip", kinds.join(", ")));
      side.append(head, text);
      choose(0);
    } else if (!parameters.length) {
      side.append(el("div.row", el("h3", "Request")), el("p.dim", "No body is needed."));
    }
    const built = () => {
      let where = path;
      const query = new URLSearchParams();
      const headers = {};
      for (const [p, input] of parameters) {
        if (p.in === "path") where = where.replace("{" + p.name + "}", encodeURIComponent(input.value));
        else if (input.value === "" && !p.required) continue;
        else if (p.in === "query") query.append(p.name, input.value);
        else headers[p.name] = input.value;
      }
      if (text) headers["Content-Type"] = kind;
      const tail = query.toString();
      return { url: base + where + (tail ? "?" + tail : ""), init: { method: method.toUpperCase(), headers, body: text ? text.value : undefined } };
    };
    return { side, built, text };
  }

  function curl({ url, init }) {
    const parts = ["curl", "-sS"];
    if (init.method !== "GET" && !(init.method === "POST" && init.body !== undefined)) parts.push("-X", init.method);
    for (const [name, value] of Object.entries(init.headers)) parts.push("-H", shellQuoted(name + ": " + value));
    if (init.body !== undefined) {
      const body = init.headers["Content-Type"] === "application/json" && isJSON(init.body) ? init.body.match(tokens).join("") : init.body;
      parts.push("--data-binary", shellQuoted(body));
    }
    parts.push(shellQuoted(location.origin + url));
    return parts.join(" ");
  }

  // answer is the right side: the example of an answer, and then real ones.
  function answer(op) {
    const ok = ((op.responses["200"] || {}).content || {})["application/json"] || {};
    const state = el("span.dim", "example" in ok ? "an example" : "");
    const shown = el("div");
    if ("example" in ok) shown.append(coloured(JSON.stringify(ok.example)));
    else shown.append(el("p.dim", "Send the request to see the answer."));
    const side = el("div", el("div.row", el("h3", "Answer"), state), shown);
    side.setAttribute("aria-live", "polite");
    return { side, state, shown, schema: ok.schema };
  }

  async function send(button, asked, answered) {
    const { url, init } = asked.built();
    button.disabled = true;
    const start = performance.now();
    try {
      const response = await fetch(url, { ...init, cache: "no-store" });
      const body = await response.text();
      const took = performance.now() - start;
      answered.state.replaceChildren(
        el(response.ok ? "span.status.good" : "span.status.wrong", String(response.status)),
        " " + (took < 10 ? took.toFixed(1) : Math.round(took)) + " ms, " + new Blob([body]).size + " bytes");
      answered.shown.replaceChildren(coloured(body));
      const headers = el("div.headers.mono.dim");
      for (const name of headersShown) {
        const value = response.headers.get(name);
        if (value) headers.append(el("div", name + ": " + value));
      }
      answered.shown.append(headers);
      token = response.headers.get("serin-decision") || token;
    } catch (error) {
      answered.state.replaceChildren(el("span.status.wrong", "no answer"));
      answered.shown.replaceChildren(coloured(String(error)));
    }
    button.disabled = false;
  }

  function body(method, path, op) {
    const box = el("div.body", op.description ? el("p.dim", op.description) : "");
    const asked = request(method, path, op);
    const answered = answer(op);
    const button = el("button.send", "Send");
    button.type = "button";
    button.addEventListener("click", () => send(button, asked, answered));
    const copied = el("button", "Copy as curl");
    copied.type = "button";
    copied.addEventListener("click", () => copy(copied, curl(asked.built())));
    const actions = el("div.actions", button, copied);
    if (path === "/v1/feedback") {
      const use = el("button", "Use the last answer's token");
      use.type = "button";
      use.addEventListener("click", () => {
        if (token) asked.text.value = format(JSON.stringify({ token, correct: true }));
        else use.textContent = "No answer has borne one yet";
      });
      actions.append(use);
    }
    asked.side.append(actions);
    box.append(el("div.sides", asked.side, answered.side));
    const more = el("details.more", el("summary", "Fields"));
    more.addEventListener("toggle", () => {
      if (!more.open || more.childElementCount > 1) return;
      for (const [kind, media] of Object.entries((op.requestBody || {}).content || {})) {
        more.append(el("h3", "Request, " + kind), schema({ properties: { body: media.schema } }, 0));
      }
      more.append(el("h3", "Answer"), schema({ properties: { body: answered.schema || {} } }, 0));
      const failures = Object.keys(op.responses).filter((status) => status !== "200");
      if (failures.length) more.append(el("p.dim", "Failures answer with " + failures.join(", ") + " and say what is wrong."));
    }, { once: false });
    box.append(more);
    return box;
  }

  function operation(method, path, op, open) {
    const details = el("details.op", el("summary",
      el("span.method." + method, method.toUpperCase()), el("code.path", path), el("span.what", op.summary)));
    const fill = () => { if (details.open && details.childElementCount === 1) details.append(body(method, path, op)); };
    details.addEventListener("toggle", fill);
    if (open) {
      details.open = true;
      fill();
    }
    return details;
  }

  function show() {
    const names = doc.tags.map((t) => t.name);
    const wanted = decodeURIComponent(location.hash.slice(1));
    const tag = doc.tags[Math.max(0, names.indexOf(wanted))];
    document.getElementById("services").replaceChildren(...names.map((name) => {
      const link = el("a", name);
      link.href = "#" + encodeURIComponent(name);
      if (name === tag.name) link.setAttribute("aria-current", "page");
      return link;
    }));
    main.replaceChildren(el("h1", tag.name), el("div.dim", tag.description || ""));
    if (tag["x-serin-inputs"]) {
      main.append(el("div.signature", fields("Takes", tag["x-serin-inputs"]), fields("Gives", tag["x-serin-outputs"])));
    }
    const groups = new Map(order.map((name) => [name, []]));
    for (const [path, item] of Object.entries(doc.paths)) {
      for (const [method, op] of Object.entries(item)) {
        if (!op.tags.includes(tag.name)) continue;
        const group = op["x-serin-dialect"];
        if (!groups.has(group)) groups.set(group, []);
        groups.get(group).push([method, path, op]);
      }
    }
    let first = true;
    for (const [group, list] of groups) {
      if (!list.length) continue;
      main.append(el("h2", group));
      for (const [method, path, op] of list) {
        main.append(operation(method, path, op, first));
        first = false;
      }
    }
    document.title = tag.name + " - Serin API";
    window.scrollTo(0, 0);
  }

  async function start() {
    try {
      const response = await fetch(base + "/openapi.json");
      if (!response.ok) throw new Error("the server answered with " + response.status);
      doc = await response.json();
    } catch (error) {
      main.replaceChildren(el("p.note.card.wrong", "The document cannot be read: " + error.message));
      return;
    }
    document.getElementById("version").textContent = doc.info.version;
    window.addEventListener("hashchange", show);
    show();
  }
  start();
})();
