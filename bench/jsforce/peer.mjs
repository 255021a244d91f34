// The peer that most teams would write: jsforce, and LevelDB for the web sessions.
//
//   node peer.mjs import sessions.ndjson peer.leveldb
//   node peer.mjs sync peer.leveldb
//
// It logs in by SALESFORCE_DOMAIN, SALESFORCE_CONSUMER_KEY and SALESFORCE_CONSUMER_SECRET.
import { createReadStream } from 'node:fs';
import { createInterface } from 'node:readline';
import { ClassicLevel } from 'classic-level';
import jsforce from 'jsforce';

const KEY = 'bizible2__UniqueId__c';
const WINDOW = 30 * 60 * 1000;
const BATCH = 200;

const open = (path) => new ClassicLevel(path, { valueEncoding: 'json' });
// Keys sort by visitor, then by time: fourteen digits reach beyond the year 5000.
const sessionKey = (visitor, ms) => `s!${visitor}!${String(ms).padStart(14, '0')}`;

async function load(file, path) {
  const db = open(path);
  let batch = [];
  const flush = async () => {
    await db.batch(batch, { sync: true });
    batch = [];
  };
  for await (const line of createInterface({ input: createReadStream(file), crlfDelay: Infinity })) {
    const s = JSON.parse(line);
    const started = Date.parse(s.started_at);
    batch.push({
      type: 'put',
      key: sessionKey(s.bizible_id, started),
      value: { started, ended: Date.parse(s.ended_at), landing: s.landing_page, referrer: s.referrer ?? '' },
    });
    if (batch.length === 10000) await flush();
  }
  await flush();
  await db.close();
}

function channel(medium, referrer) {
  if (medium === 'cpc') return 'Paid Search';
  if (medium === 'paid_social') return 'Paid Social';
  if (medium === 'email') return 'Email';
  if (referrer === 'https://www.google.com/' || referrer === 'https://www.bing.com/') return 'Organic Search';
  return referrer ? 'Web Referral' : 'Direct';
}

function describe(record, session) {
  const u = new URL(session.landing);
  const q = u.searchParams;
  record.bizible2__Landing_Page_Raw__c = session.landing;
  record.bizible2__Referrer_Page_Raw__c = session.referrer;
  record.bizible2__Landing_Page__c = u.origin + u.pathname;
  record.bizible2__Touchpoint_Source__c = q.get('utm_source') ?? '';
  record.bizible2__Ad_Campaign_Name__c = q.get('utm_campaign') ?? '';
  record.bizible2__Keyword_Text__c = q.get('utm_term') ?? '';
  record.bizible2__Marketing_Channel__c = channel(q.get('utm_medium'), session.referrer);
}

// The visitor's last session that began by then, if the call lies within its window.
async function match(db, visitor, at) {
  const range = { gte: sessionKey(visitor, 0), lte: sessionKey(visitor, at), reverse: true, limit: 1 };
  for await (const session of db.values(range)) {
    return at <= session.ended + WINDOW ? session : undefined;
  }
}

async function upsert(conn, object, records) {
  for (let i = 0; i < records.length; i += BATCH) {
    const results = await conn.sobject(object).upsert(records.slice(i, i + BATCH), KEY);
    const failed = results.find((r) => !r.success);
    if (failed) throw new Error(`${object}: ${JSON.stringify(failed.errors)}`);
  }
}

async function sync(path) {
  const db = open(path);
  const domain = process.env.SALESFORCE_DOMAIN;
  const conn = new jsforce.Connection({
    version: '62.0',
    instanceUrl: domain,
    oauth2: { loginUrl: domain, clientId: process.env.SALESFORCE_CONSUMER_KEY, clientSecret: process.env.SALESFORCE_CONSUMER_SECRET },
  });
  await conn.authorize({ grant_type: 'client_credentials' });

  const since = (await db.get('since')) ?? '2000-01-01T00:00:00Z';
  const soql =
    'SELECT Id, WhoId, bizible2__BizibleId__c, bizible2__Bizible_Touchpoint_Date__c, SystemModstamp FROM Task ' +
    `WHERE bizible2__BizibleId__c != null AND SystemModstamp >= ${since} ORDER BY SystemModstamp, Id`;
  const tasks = await conn.query(soql, { autoFetch: true, maxFetch: 10_000_000 });

  const persons = new Map();
  const touchpoints = [];
  for (const task of tasks.records) {
    const at = Date.parse(task.bizible2__Bizible_Touchpoint_Date__c);
    const record = {
      [KEY]: `peer_${task.Id}`,
      bizible2__Touchpoint_Type__c: 'Phone Call',
      bizible2__Medium__c: 'Phone',
      bizible2__Touchpoint_Date__c: new Date(at).toISOString(),
    };
    const session = await match(db, task.bizible2__BizibleId__c, at);
    if (session) describe(record, session);
    if (task.WhoId) {
      const key = `peer_${task.WhoId}`;
      persons.set(task.WhoId, { [KEY]: key, bizible2__Lead__c: task.WhoId });
      record.bizible2__Bizible_Person__r = { [KEY]: key };
    }
    touchpoints.push(record);
  }
  await upsert(conn, 'bizible2__Bizible_Person__c', [...persons.values()]);
  await upsert(conn, 'bizible2__Bizible_Touchpoint__c', touchpoints);
  const last = tasks.records.at(-1);
  if (last) await db.put('since', last.SystemModstamp.replace('.000+0000', 'Z'), { sync: true });
  await db.close();
}

const [what, ...args] = process.argv.slice(2);
if (what === 'import') await load(...args);
else if (what === 'sync') await sync(...args);
else {
  console.error('usage: node peer.mjs import FILE DB | node peer.mjs sync DB');
  process.exitCode = 2;
}
