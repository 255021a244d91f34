package orgsim

import (
	"bytes"
	"fmt"
	"net/http"
	"strings"
	"time"
)

// admin serves /sim/: the switches of the simulation for demos and scripts. It
// is no part of Salesforce and asks for no login, so an org belongs on a
// loopback address.
//
//	POST   /sim/insert/{object}[?late=5m]        {"Subject": …}   -> {"id": …}
//	POST   /sim/insert/{object}                  [{…}, {…}]       -> {"ids": […]}, up to the first that is refused
//	POST   /sim/update/{object}/{id}[?late=5m]   {"Type": "Call"}
//	DELETE /sim/{object}/{id}[?purge=true]
//	POST   /sim/undelete/{object}/{id}
//	GET    /sim/records/{object}[/{id}]
//	GET    /sim/stats        POST /sim/stats/reset
//	POST   /sim/fault        a line for ParseFault; DELETE clears the script
//	POST   /sim/permission-set   metadata XML: the rights of the API user from now on
//	POST   /sim/expire       ends every session; ?locators=true also every query cursor
func (o *Org) admin(c *call) answer {
	path := strings.Split(strings.Trim(strings.TrimPrefix(c.path, "/sim/"), "/"), "/")
	for len(path) < 3 {
		path = append(path, "")
	}
	late, err := time.ParseDuration(c.query.Get("late"))
	if c.query.Has("late") && err != nil {
		return adminError(http.StatusBadRequest, err.Error())
	}
	switch what := c.method + " " + path[0]; what {
	case "POST insert", "POST update":
		return o.adminWrite(c, path, late)
	case "POST permission-set":
		if err := o.DeployPermissionSet(c.body); err != nil {
			return adminError(http.StatusBadRequest, err.Error())
		}
	case "POST undelete":
		if err := o.Undelete(path[1], path[2]); err != nil {
			return adminError(http.StatusBadRequest, err.Error())
		}
	case "GET records":
		return o.adminRecords(path)
	case "GET stats":
		return jsonAnswer(200, o.Requests())
	case "POST stats":
		o.ResetRequests()
	case "POST fault":
		f, err := ParseFault(strings.TrimSpace(string(c.body)))
		if err != nil {
			return adminError(http.StatusBadRequest, err.Error())
		}
		o.Fault(f)
	case "DELETE fault":
		o.ClearFaults()
	case "POST expire":
		o.ExpireTokens()
		if c.query.Get("locators") == "true" {
			o.ExpireLocators()
		}
	default:
		if c.method != "DELETE" {
			return adminError(http.StatusNotFound, "no such switch: "+what)
		}
		remove := o.Delete
		if c.query.Get("purge") == "true" {
			remove = o.Purge
		}
		if err := remove(path[0], path[1]); err != nil {
			return adminError(http.StatusBadRequest, err.Error())
		}
	}
	return jsonAnswer(200, object{})
}

func (o *Org) adminWrite(c *call, path []string, late time.Duration) answer {
	c.header.Set("Content-Type", "application/json") // scripts need not say so
	if path[0] == "insert" && bytes.HasPrefix(bytes.TrimSpace(c.body), []byte("[")) {
		return o.adminInsertMany(c, path[1], late)
	}
	var fields map[string]any
	if err := c.readJSON(&fields); err != nil {
		return adminError(http.StatusBadRequest, err.Message)
	}
	id, err := path[2], error(nil)
	if path[0] == "insert" {
		id, err = o.InsertLate(path[1], fields, late)
	} else {
		err = o.UpdateLate(path[1], id, fields, late)
	}
	if err != nil {
		return adminError(http.StatusBadRequest, err.Error())
	}
	return jsonAnswer(200, object{{"id", id}})
}

// adminInsertMany is for filling an org quickly.
func (o *Org) adminInsertMany(c *call, name string, late time.Duration) answer {
	var many []map[string]any
	if err := c.readJSON(&many); err != nil {
		return adminError(http.StatusBadRequest, err.Message)
	}
	ids := make([]string, 0, len(many))
	for i, fields := range many {
		id, err := o.InsertLate(name, fields, late)
		if err != nil {
			return adminError(http.StatusBadRequest, fmt.Sprintf("record %d: %v", i, err))
		}
		ids = append(ids, id)
	}
	return jsonAnswer(200, object{{"ids", ids}})
}

func (o *Org) adminRecords(path []string) answer {
	if path[2] != "" {
		rec, ok := o.Get(path[1], path[2])
		if !ok {
			return adminError(http.StatusNotFound, "no such record")
		}
		return jsonAnswer(200, rec)
	}
	if o.Schema(path[1]) == nil {
		return adminError(http.StatusNotFound, "no such object")
	}
	recs := o.Records(path[1])
	if recs == nil {
		recs = []map[string]any{}
	}
	return jsonAnswer(200, recs)
}

func adminError(status int, message string) answer {
	return jsonAnswer(status, object{{"error", message}})
}
