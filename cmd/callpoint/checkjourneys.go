package main

import (
	"context"
	"net/http"
	"strings"

	"callpoint/mapping"
	"callpoint/sync/monitor"
)

// checkNoPerson counts the calls that have no touchpoint because they name nobody.
func (p *program) checkNoPerson(ctx context.Context, k *checker) {
	const name = "no_person"
	if !k.cfg.storeExists() {
		k.ok(name, "no calls yet")
		return
	}
	var v monitor.StatusView
	if err := p.ask(ctx, http.MethodGet, "/v1/status", nil, &v); err != nil {
		k.warn(name, "Run check again once the daemon answers.", "how many calls name nobody is not known: %v", err)
		return
	}
	if v.Backlog.NoPerson == 0 {
		k.ok(name, "every call names a Lead or Contact")
		return
	}
	k.warn(name, "Have the call-tracking vendor file calls under a Lead or Contact; callpoint calls --state no_person lists them. Each gets its touchpoint once somebody is named.",
		"%d of the calls have no touchpoint, because they name no Lead or Contact", v.Backlog.NoPerson)
}

// checkJourneys names the persons that are not followed because they have too many BizibleIds.
func (p *program) checkJourneys(ctx context.Context, k *checker) {
	const name = "journeys"
	if !k.cfg.storeExists() {
		k.ok(name, "no calls yet")
		return
	}
	var v monitor.Unfollowed
	if err := p.ask(ctx, http.MethodGet, "/v1/persons?too_many_ids=true", nil, &v); err != nil {
		k.warn(name, "Run check again once the daemon answers.", "whether every person can be followed is not known: %v", err)
		return
	}
	if len(v.Persons) == 0 {
		k.ok(name, "every person has at most %d BizibleIds", mapping.MaxVisitors)
		return
	}
	list := strings.Join(v.Persons, ", ")
	if v.More {
		list += " and others"
	}
	k.warn(name, "File unknown callers under Leads of their own, or under none: a Lead that stands for many callers has no journey.",
		"more than %d BizibleIds, so each of them is a journey of its own: %s", mapping.MaxVisitors, list)
}
