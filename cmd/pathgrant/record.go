package main

import (
	"time"

	"github.com/pathgrant/pathgrant/internal/ask"
	"github.com/pathgrant/pathgrant/internal/audit"
	"github.com/pathgrant/pathgrant/internal/ops"
)

// recorder counts every decision and logs those that are to be kept.
type recorder struct {
	log     *audit.Log
	metrics *ops.Metrics
}

// Record implements gate.Recorder.
func (r recorder) Record(q *ask.Request, a *ask.Answer, took time.Duration) {
	r.metrics.Observe(ops.AdapterNamed(q.Adapter), a.Reason, took)
	if !r.log.Keeps(a.Reason) {
		return
	}
	entry := audit.Entry{
		Time: a.Time, Duration: took,
		Process: a.DecisionID.Process, Number: a.DecisionID.Number,
		Adapter: q.Adapter, Permissions: a.Permissions, Scopes: a.Scopes, Reason: a.Reason, Revision: a.Revision,
	}
	if q.HTTP {
		entry.Method, entry.Path = q.Method, q.Path
	}
	if a.Subject != nil {
		entry.Tenant, entry.Principal = a.Subject.Tenant(), a.Subject.Principal()
	}
	if a.Assignment != nil {
		entry.Assignment = a.Assignment.AssignmentID
	}
	r.log.Append(&entry)
}
