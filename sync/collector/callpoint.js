/* callpoint.js: tells callpoint which pages a visitor saw and when a form was sent.
   Reads the cookie _biz_uid, which Marketo Measure's bizible.js sets; sets no cookie, reads no
   field of any form. Options on this tag, or on any element with id="callpoint-settings":
     data-requires-user-consent="true"  sends nothing before callpoint.consent(true)
   API: callpoint.consent(true|false), callpoint.view(), callpoint.form().
   A form with data-callpoint="off", a search and a log-in form are not reported. */
(function (w, d) {
  'use strict';
  try {
    var early = w.callpoint || {};
    if (early.loaded) return;

    var tag = d.currentScript || d.querySelector('script[src*="/callpoint.js"]');
    if (!tag || !tag.src) return;
    var origin = new URL(tag.src, w.location.href).origin;
    var KEY = 'callpoint_consent', MAX_WAITING = 20;
    var waiting = [], tries = 0, timer = 0, sequence = 0;
    var lastPage = '', referrer = d.referrer;
    var consent = remembered();

    // quiet makes a function that never throws into the page.
    function quiet(f) {
      return function () { try { return f.apply(this, arguments); } catch (e) { /* the page goes first */ } };
    }

    function option(name) {
      var settings = d.getElementById('callpoint-settings');
      return tag.getAttribute(name) || (settings && settings.getAttribute(name)) || '';
    }

    // remembered returns '1', '0', or '' where the visitor was never asked.
    function remembered() {
      try { return w.localStorage.getItem(KEY) || ''; } catch (e) { return ''; }
    }

    function allowed() {
      if (consent) return consent === '1';
      return option('data-requires-user-consent') !== 'true' && w.navigator.globalPrivacyControl !== true;
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

    // flush sends what waits, once the visitor agrees and has an id.
    function flush() {
      if (!allowed()) return false;
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

    function send(path, page, ref) {
      if (consent === '0') return;
      if (waiting.length >= MAX_WAITING) waiting.shift();
      var params = { _biz_l: page, _biz_t: Date.now(), _biz_i: d.title, _biz_n: sequence++ };
      if (ref) params._biz_r = ref;
      waiting.push({ path: path, params: params });
      tries = 0;
      if (!flush() && !timer) later();
    }

    // route is what makes a page another one: a fragment counts only where it is a route.
    function route() {
      var at = w.location.href.split('#');
      return at[0] + (/^[!\/]/.test(at[1] || '') ? '#' + at.slice(1).join('#') : '');
    }

    function view() {
      var page = w.location.href;
      send('/m/ipv', page, referrer);
      lastPage = route();
      referrer = page; // inside a single-page app, the next view comes from here
    }

    function form(e) {
      var f = e && e.target;
      if (f && f.querySelector && (f.getAttribute('data-callpoint') === 'off' || f.getAttribute('role') === 'search' ||
        f.querySelector('input[type=search],input[type=password]'))) return;
      send('/m/frm', w.location.href, '');
    }

    function moved() {
      // The framework sets the title after the address, so look a moment later.
      w.setTimeout(quiet(function () { if (route() !== lastPage) view(); }), 0);
    }

    ['pushState', 'replaceState'].forEach(function (name) {
      var original = w.history[name];
      if (typeof original !== 'function') return;
      w.history[name] = function () {
        var result = original.apply(this, arguments); // its errors are the page's own
        quiet(moved)();
        return result;
      };
    });
    w.addEventListener('popstate', quiet(moved));
    w.addEventListener('hashchange', quiet(moved));
    w.addEventListener('pageshow', quiet(function (e) { if (e.persisted) view(); }));
    w.addEventListener('pagehide', quiet(flush));
    d.addEventListener('submit', quiet(form), true);

    w.callpoint = {
      loaded: true,
      view: quiet(view),
      form: quiet(function () { form(); }),
      consent: quiet(function (yes) {
        consent = yes ? '1' : '0';
        try { w.localStorage.setItem(KEY, consent); } catch (e) { /* this page only, then */ }
        if (!yes) waiting = [];
        tries = 0;
        if (!timer) later();
      })
    };
    if (typeof early.consented === 'boolean') w.callpoint.consent(early.consented);
    if (d.prerendering) d.addEventListener('prerenderingchange', quiet(view), { once: true });
    else view();
  } catch (e) { /* the page goes first */ }
})(window, document);
