// Opens a report in a headless Chromium, as a reader would: with a mouse, on a phone, in the dark, by keyboard, by a screen
// reader. Prints what it finds as JSON; exits with 1 if the page writes an error to the console, asks for anything outside
// of itself, is wider than a phone, cannot be walked through by keyboard, or breaks a rule of axe-core.
//
//   npm install playwright-core axe-core        in any folder; the browser is Debian's `chromium`
//   node tests/report_page.mjs REPORT.html [FOLDER for screenshots]
//
// NODE_PATH or the current directory says where the packages are; CHROMIUM names another browser.

import { createRequire } from "node:module";
import { mkdirSync, readFileSync, rmSync, mkdtempSync } from "node:fs";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { pathToFileURL } from "node:url";

const [file, shots] = process.argv.slice(2);
if (!file) {
  console.error("usage: node report_page.mjs REPORT.html [FOLDER]");
  process.exit(2);
}
const require = createRequire(join(process.env.NODE_PATH ?? process.cwd(), "node_modules", "_.js"));
const { chromium } = require("playwright-core");
const axe = readFileSync(require.resolve("axe-core/axe.min.js"), "utf8");

const profile = mkdtempSync(join(tmpdir(), "report-page-"));
const page_url = pathToFileURL(resolve(file)).href;
const result = { file, bytes: readFileSync(file).length, views: [], console: [], requests: [], violations: [], problems: [] };

const views = [
  { name: "wide-light", width: 1280, height: 900, colorScheme: "light" },
  { name: "wide-dark", width: 1280, height: 900, colorScheme: "dark" },
  { name: "phone-light", width: 390, height: 844, colorScheme: "light" },
  { name: "phone-dark", width: 390, height: 844, colorScheme: "dark" },
  { name: "no-script", width: 1280, height: 900, colorScheme: "light", javaScriptEnabled: false },
];

const flags = ["--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
  "--disable-background-networking", "--disable-component-update", "--disable-sync"];

try {
  for (const { name, width, height, ...view } of views) {
    const context = await chromium.launchPersistentContext(join(profile, name), {
      executablePath: process.env.CHROMIUM ?? "/usr/bin/chromium",
      args: flags,
      viewport: { width, height },
      deviceScaleFactor: 1,
      ...view,
    });
    const page = context.pages()[0] ?? (await context.newPage());
    page.on("console", (m) => ["error", "warning"].includes(m.type()) && result.console.push(`${name}: ${m.text()}`));
    page.on("pageerror", (e) => result.console.push(`${name}: ${e.message}`));
    // Everything but the file itself and what it carries along is refused, and noted.
    await context.route("**/*", (route) => {
      const url = route.request().url();
      if (url === page_url || url.startsWith("data:")) return route.continue();
      result.requests.push(url);
      return route.abort();
    });
    await page.goto(page_url, { waitUntil: "load" });
    const seen = { name, width };
    if (view.javaScriptEnabled !== false) {
      seen.scrollWidth = await page.evaluate(() => document.documentElement.scrollWidth);
      if (seen.scrollWidth > width) result.problems.push(`${name}: the page is ${seen.scrollWidth} pixels wide`);
    }
    if (shots) {
      mkdirSync(shots, { recursive: true });
      await page.screenshot({ path: join(shots, `${name}.png`), fullPage: true });
    }
    if (view.javaScriptEnabled !== false) {
      // As they are, and with everything open that can be.
      for (const open of [false, true]) {
        if (open) await page.evaluate(() => document.querySelectorAll("details").forEach((d) => (d.open = true)));
        if (open) {
          const wide = await page.evaluate(() => document.documentElement.scrollWidth);
          if (wide > width) result.problems.push(`${name}, all open: the page is ${wide} pixels wide`);
        }
        await page.evaluate(axe);
        const found = await page.evaluate(() => window.axe.run(document, { resultTypes: ["violations"] }));
        for (const v of found.violations) {
          const nodes = v.nodes.slice(0, 3).map((n) => `${n.target}: ${n.failureSummary}`);
          result.violations.push({ view: name, open, id: v.id, impact: v.impact, help: v.help, count: v.nodes.length, nodes });
        }
        if (open && shots) await page.screenshot({ path: join(shots, `${name}-open.png`), fullPage: true });
      }
      await page.evaluate(() => document.querySelectorAll("details").forEach((d) => (d.open = false)));
    }
    if (name === "wide-light") {
      // By keyboard: the first stop leads to the content; every stop is seen, and none is a trap.
      await page.evaluate(() => { scrollTo(0, 0); document.activeElement?.blur(); });
      const stops = [];
      for (let n = 0; n < 400; n++) {
        await page.keyboard.press("Tab");
        const stop = await page.evaluate(() => {
          const at = document.activeElement;
          if (!at || at === document.body) return null;
          const box = at.getBoundingClientRect();
          const top = box.top + scrollY;
          const name = at.getAttribute("aria-label") ?? at.textContent.trim().slice(0, 60);
          return { tag: at.tagName.toLowerCase(), name, top: Math.round(top), seen: box.width > 0 && box.height > 0 };
        });
        if (!stop) break;
        if (stops.length && stop.tag === stops[0].tag && stop.name === stops[0].name) break;
        stops.push(stop);
      }
      seen.stops = stops.length;
      if (stops[0]?.name !== "Skip to the content") result.problems.push("the first stop does not skip to the content");
      for (const stop of stops.filter((s) => !s.seen || !s.name)) {
        result.problems.push(`a stop without place or name: ${stop.tag} ${stop.name}`);
      }
      const body = stops.slice(1);
      if (body.some((s, n) => n && s.top + 200 < body[n - 1].top)) result.problems.push("the order of stops jumps back");
      seen.headings = await page.evaluate(() => {
        const levels = [...document.querySelectorAll("h1,h2,h3,h4,h5,h6")].map((h) => Number(h.tagName[1]));
        return { count: levels.length, ordered: levels[0] === 1 && levels.every((l, n) => !n || l - levels[n - 1] <= 1) };
      });
      if (!seen.headings.ordered) result.problems.push("a level of headings is left out");
    }
    result.views.push(seen);
    await context.close();
  }
} finally {
  rmSync(profile, { recursive: true, force: true });
}

console.log(JSON.stringify(result, null, 2));
const { console: said, requests, violations, problems } = result;
process.exit(said.length + requests.length + violations.length + problems.length ? 1 : 0);
