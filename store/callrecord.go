package store

// A callRecord is a Call as it is stored: where its snapshot shows the session that it was
// matched with, which is a third of it, that stands there once.
type callRecord struct {
	Call
	Shared bool `json:"shared_session,omitempty"`
}

func storeCall(tx *txn, c *Call) error {
	r := callRecord{Call: *c}
	if s := c.Snapshot; s != nil && s.Session != nil && s.Session == c.Resolution.Session {
		short := *s
		short.Session = nil
		r.Snapshot, r.Shared = &short, true
	}
	return put(tx.Bucket(bCalls), []byte(c.TaskID), r)
}

// loadCall reads one call; false means that there is none.
func loadCall(tx *txn, taskID []byte) (c Call, ok bool, err error) {
	env := tx.Bucket(bCalls).Get(taskID)
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
