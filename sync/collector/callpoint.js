/* callpoint.js reports page views and sent forms of a visitor. It reads the cookie _biz_uid, which
   Marketo Measure's bizible.js sets; it sets no cookie and reads no field of a form.
   Options on this tag, or on any element with id="callpoint-settings":
     data-requires-user-consent   sends nothing before callpoint.consent(true)
   API: callpoint.consent(true|false), callpoint.view(), callpoint.form().
   Not reported: a form with data-callpoint="off", a search, a log-in, and one that fails its validation. */
(function (w, d) {
  'use strict';
  try {
    var early = w.callpoint || {};
    if (early.loaded) return;

    var tag = d.currentScript || d.querySelector('script[src*="/callpoint.js"]');
    if (!tag || !tag.src) return;
    var origin = new URL(tag.src, w.location.href).origin;
    var KEY = 'callpoint_consent', GATE = 'data-requires-user-consent', MAX_WAITING = 20;
    var YES = /^(1|true|yes|y|on|granted?|given|accept(ed)?|allow(ed)?|opt-?in)$/i, NO = /^(0|false|no|off)$/i;
    var waiting = [], undecided = [], tries = 0, timer = 0, sequence = 0;
    var lastPage = '', referrer = d.referrer;
    var consent = '', stored = true; // consent is '1', '0', or '' where the visitor was never asked
    var sent = new WeakSet(), roots = new WeakSet();

    // quiet returns a function that never throws into the page.
    function quiet(f) {
      return function () { try { return f.apply(this, arguments); } catch (e) { /* the page goes first */ } };
    }

    // gated reports whether an element asks for consent. Any value but a clear no does.
    function gated(element) {
      return !!element && element.hasAttribute(GATE) && !NO.test(element.getAttribute(GATE).trim());
    }

    // recall reads the answer anew: another tab may have changed it.
    function recall() {
      if (!stored) return;
      try { consent = w.localStorage.getItem(KEY) || ''; } catch (e) { stored = false; }
      if (consent && consent !== '1') { consent = '0'; waiting = []; }
    }

    function allowed() {
      recall();
      if (consent) return consent === '1';
      return !gated(tag) && !gated(d.getElementById('callpoint-settings')) && !w.navigator.globalPrivacyControl;
    }

    function visitor() {
      var m = /(?:^|;\s*)_biz_uid=([^;]+)/.exec(d.cookie);
      return m ? decodeURIComponent(m[1]) : '';
    }

    function transmit(path, params) {
      var url = origin + path, body = new URLSearchParams(params);
      try { if (w.navigator.sendBeacon && w.navigator.sendBeacon(url, body)) return; } catch (e) { /* next way */ }
      if (w.fetch) {
        w.fetch(url, { method: 'POST', body: body, keepalive: true, mode: 'no-cors', credentials: 'omit' })
          .catch(function () { /* lost: never sent twice */ });
        return;
      }
      new Image().src = url + '?' + body;
    }

    // flush sends what waits, once the page is shown, the visitor agrees and has an id.
    function flush() {
      if (d.prerendering || !allowed()) return false;
      var id = visitor();
      if (!id) return false;
      waiting.splice(0).forEach(function (e) {
        e.params._biz_u = id;
        if (consent === '1') e.params._biz_c = '1';
        e.params._biz_z = Date.now();
        transmit(e.path, e.params);
      });
      return true;
    }

    // later looks for the cookie again: bizible.js may load after us. About ten seconds in all.
    function later() {
      timer = 0;
      if (flush() || !waiting.length || tries >= 20) return;
      tries++;
      timer = w.setTimeout(quiet(later), 500);
    }

    function send(path, page, ref, name) {
      recall();
      if (consent === '0' || d.prerendering) return;
      if (waiting.length >= MAX_WAITING) waiting.shift();
      var params = { _biz_l: page, _biz_t: Date.now(), _biz_i: d.title, _biz_n: sequence++ };
      if (ref) params._biz_r = ref;
      if (name) params._biz_f = name;
      waiting.push({ path: path, params: params });
      tries = 0;
      if (!flush() && !timer) later();
    }

    // route is what makes a page another one: a fragment counts only where it is a route.
    function route() {
      var at = w.location.href.split('#');
      return at[0] + (/^[!\/]/.test(at[1] || '') ? '#' + at.slice(1).join('#') : '');
    }

    // view reports the page. One that is being prerendered is reported when it is shown.
    function view() {
      if (d.prerendering) return;
      var page = w.location.href;
      send('/m/ipv', page, referrer);
      lastPage = route();
      referrer = page; // inside a single-page app, the next view comes from here
    }

    function arrive() { if (route() !== lastPage) view(); }

    // moved looks a moment later: frameworks set the title after the address.
    function moved() { w.setTimeout(quiet(arrive), 0); }

    // on calls a method of elements that fields of a form cannot shadow.
    function on(element, method, argument) { return w.Element.prototype[method].call(element, argument); }

    function form(f) {
      if (f && (on(f, 'getAttribute', 'data-callpoint') === 'off' || on(f, 'getAttribute', 'role') === 'search' ||
        on(f, 'getAttribute', 'method') === 'dialog' || on(f, 'querySelector', 'input[type=search],input[type=password]'))) return;
      send('/m/frm', w.location.href, '', f ? on(f, 'getAttribute', 'name') || on(f, 'getAttribute', 'aria-label') || on(f, 'getAttribute', 'id') : '');
    }

    // decide reports forms whose submit event every handler has seen. A handler that stops the
    // browser from sending sends by itself, unless fields are invalid.
    function decide() {
      undecided.splice(0).forEach(function (e) {
        var f = e.form;
        if (e.event.defaultPrevented && (on(f, 'matches', ':invalid') || on(f, 'querySelector', ':invalid,[aria-invalid=true]'))) return;
        sent.add(f);
        form(f);
      });
    }

    function submitted(e) {
      if (!(e.target instanceof w.HTMLFormElement)) return;
      undecided.push({ form: e.target, event: e });
      w.setTimeout(quiet(decide), 0);
    }

    // watch listens for forms in a document or a shadow tree: submit events do not leave the latter.
    function watch(root) {
      if (!root || roots.has(root)) return;
      roots.add(root);
      root.addEventListener('submit', quiet(submitted), true);
      root.querySelectorAll('*').forEach(function (e) { watch(e.shadowRoot); });
    }

    // wrap calls after with the result of each call of a method, and before ahead of it.
    function wrap(object, name, before, after) {
      var original = object && object[name];
      if (typeof original !== 'function') return;
      object[name] = function () {
        if (before) quiet(before).call(this);
        var result = original.apply(this, arguments); // its errors are the page's own
        if (after) quiet(after)(result);
        return result;
      };
    }

    wrap(w.history, 'pushState', null, moved);
    wrap(w.history, 'replaceState', null, moved);
    wrap(w.Element.prototype, 'attachShadow', null, watch);
    wrap(w.HTMLFormElement.prototype, 'submit', function () { // has no event; often follows one that was stopped
      decide();
      if (!sent.delete(this)) form(this);
    });
    if (w.navigation) w.navigation.addEventListener('currententrychange', quiet(moved));
    w.addEventListener('popstate', quiet(moved));
    w.addEventListener('hashchange', quiet(moved));
    w.addEventListener('pageshow', quiet(function (e) { if (e.persisted) view(); }));
    w.addEventListener('pagehide', quiet(function () { arrive(); decide(); flush(); }));
    w.addEventListener('storage', quiet(function (e) { if (e.key === KEY || e.key === null) { recall(); tries = 0; if (!timer) later(); } }));
    ['focusin', 'click'].forEach(function (type) { // shadow trees that were there before this script
      d.addEventListener(type, quiet(function (e) { e.composedPath().forEach(function (n) { if (n instanceof w.ShadowRoot) watch(n); }); }), true);
    });
    watch(d);
    w.addEventListener('load', quiet(function () { d.querySelectorAll('*').forEach(function (e) { watch(e.shadowRoot); }); }));

    w.callpoint = {
      loaded: true,
      view: quiet(view),
      form: quiet(function () { form(); }),
      consent: quiet(function (yes) {
        consent = YES.test(String(yes).trim()) ? '1' : '0'; // what is not understood is a no
        try { w.localStorage.setItem(KEY, consent); } catch (e) { stored = false; /* this page only, then */ }
        if (consent === '0') waiting = [];
        tries = 0;
        if (!timer) later();
      })
    };
    recall();
    if (early.consented !== undefined) w.callpoint.consent(early.consented);
    if (d.prerendering) d.addEventListener('prerenderingchange', quiet(arrive), { once: true });
    else view();
  } catch (e) { /* the page goes first */ }
})(window, document);
