package orgsim

// Stats counts requests and records since the org was made or reset.
type Stats struct {
	Requests     int // HTTP requests, whatever became of them; not those under /sim/
	APICalls     int // what counts against the daily limit: no logins, no refusals for session or limit
	Logins       int // tokens issued
	LoginsFailed int
	Unauthorized int // 401 INVALID_SESSION_ID
	OverLimit    int // 403 REQUEST_LIMIT_EXCEEDED
	Faults       int // scripted faults that fired

	// By kind; a composite's subrequests count under their kinds, too.
	Queries     int // new queries
	Pages       int // pages served, the first of each query included
	Collections int // collections requests: create, upsert, update, delete
	Composites  int
	Describes   int
	Limits      int
	Singles     int // reads and writes of one record
	RowsRead    int // records in query pages

	// Rows of writes through the API.
	Created, Updated, Deleted int
	Failed                    int // refused rows
	Written                   int // Created + Updated

	// Bytes of bodies, without those under /sim/.
	BodyBytes    int // of requests, as they came over the wire
	BodyInflated int // the same after decompression
	AnswerBytes  int // of answers
	GzipBodies   int // requests that came compressed
	GzipRefused  int
}

func (s *Stats) count(req Request) {
	switch req.Op {
	case OpComposite:
		s.Composites++
	case OpDescribe:
		s.Describes++
	case OpLimits:
		s.Limits++
	case OpQuery:
		s.Queries++
	case OpCreate, OpUpsert, OpUpdate, OpDelete:
		if req.Collection {
			s.Collections++
		} else {
			s.Singles++
		}
	case OpGet:
		s.Singles++
	}
}

// Requests returns the counts.
func (o *Org) Requests() Stats {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.stats
}

// ResetRequests sets all counts to zero. The daily limit keeps its own.
func (o *Org) ResetRequests() {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.stats = Stats{}
}
