package main

import (
	"context"
	"net/http"
	"strings"

	"callpoint/mapping"
	"callpoint/sync/monitor"
)

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
