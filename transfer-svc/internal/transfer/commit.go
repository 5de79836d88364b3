package transfer

import "context"

// change is what one driver wants to write. Exactly one field is set.
type change struct {
	create  *Transfer
	step    *Step
	release *Release
}

// key names the row that a change writes: by its UNIQUE key for a new transfer, else by the transfer's id.
func (c change) key() string {
	switch {
	case c.create != nil:
		return c.create.Origin.AccountID + " " + c.create.RequestID
	case c.step != nil:
		return c.step.After.ID
	default:
		return c.release.ID
	}
}

// outcome is the result of a change.
type outcome struct {
	transfer Transfer // of a create: see Committed.Created
	applied  bool     // of a step: whether it took effect
}

// commit writes the changes of many drivers in one transaction, so that they share its fsync.
func (s *Service) commit(ctx context.Context, changes []change) ([]outcome, error) {
	var all Changes
	for _, c := range changes {
		switch {
		case c.create != nil:
			all.Creates = append(all.Creates, *c.create)
		case c.step != nil:
			all.Steps = append(all.Steps, *c.step)
		default:
			all.Releases = append(all.Releases, *c.release)
		}
	}
	committed, err := s.store.Commit(ctx, all)
	if err != nil {
		return nil, err
	}
	out := make([]outcome, len(changes))
	for i, c := range changes {
		switch {
		case c.create != nil:
			out[i].transfer, committed.Created = committed.Created[0], committed.Created[1:]
		case c.step != nil:
			out[i].applied, committed.Stepped = committed.Stepped[0], committed.Stepped[1:]
		}
	}
	return out, nil
}
