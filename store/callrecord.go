package store

import "callpoint/store/kv"

// A callRecord is a Call as it is stored: a session that is in the resolution and in the
// snapshot, which is a third of the record, is stored once.
type callRecord struct {
	Call
	Shared bool `json:"shared_session,omitempty"`
}

func storeCall(tx kv.Tx, c *Call) error {
	r := callRecord{Call: *c}
	if s := c.Snapshot; s != nil && s.Session != nil && s.Session == c.Resolution.Session {
		short := *s
		short.Session = nil
		r.Snapshot, r.Shared = &short, true
	}
	return put(tx, bCalls, []byte(c.TaskID), r)
}

// loadCall reads one call; false means that there is none.
func loadCall(tx kv.Tx, taskID []byte) (c Call, ok bool, err error) {
	env := tx.Get(bCalls, taskID)
	if env == nil {
		return c, false, nil
	}
	c, err = openCall(taskID, env)
	return c, true, err
}

func openCall(taskID, env []byte) (Call, error) {
	var r callRecord
	err := open(taskID, env, &r)
	if r.Shared && r.Snapshot != nil {
		r.Snapshot.Session = r.Resolution.Session
	}
	if r.Person == "" { // stored before calls had one
		r.Person = r.WhoID()
	}
	return r.Call, err
}
