package server

import (
	"context"
	"log/slog"
	"time"

	"github.com/seed73300619/relay/codec"
)

// fight is how many takeovers of a UUID a minute may have without a warning.
const fight = 3

// register makes m's UUID reachable by this connection and answers. Whoever
// had it before is closed behind, in its own time.
func (c *conn) register(m codec.Registration) {
	n := &c.s.stats
	user, ok := c.authenticate()
	if !ok {
		return
	}
	if !c.owns(m.UUID) && len(c.clients) >= c.cfg.maxRegistrations {
		n.refusedRegistrations.Add(1)
		c.reply(newFrame(c.s.answerCrowded))
		return
	}
	if !c.s.places.register(c.place, user.ID, c.s.config()) {
		n.refusedUser.Add(1)
		c.fail(codeTryLater, reasonUser, nil)
		return
	}
	r := Registered{m.UUID, shorten(m.Name)}
	old, err := c.claim(r, user)
	switch err {
	case nil:
	case errOwned:
		n.refusedOwned.Add(1)
		c.fail(CodeForbidden, "ForbiddenError: The client UUID "+m.UUID.String()+" is already registered to another user.", nil)
		return
	case errNoRoom: // it goes on registering and does not read the answers
		c.fail(codePolicy, reasonUnread, nil)
		return
	default:
		return // it has ended
	}
	if n.registrations.Add(1); !c.greeted {
		c.greeted = true
		n.handshake.observe(time.Since(c.asked))
	}
	level := slog.LevelInfo
	if old.conn == c {
		level = slog.LevelDebug // again: a client can do so at any rate
	}
	c.cfg.logger.Log(context.Background(), level, "registered",
		"conn", c.id, "uuid", r.UUID, "name", r.Name, "user", user.ID, "remote", c.remote)
	if old.conn != nil && old.conn != c {
		c.takeOver(r, old)
	}
}

// takeOver ends the connection that had r before.
func (c *conn) takeOver(r Registered, old owner) {
	c.s.stats.takeovers.Add(1)
	c.cfg.logger.Info("taken over", "conn", old.conn.id, "uuid", r.UUID, "by", c.id)
	if old.takeovers > fight {
		if hidden, ok := c.s.oddities.fight.allow(); ok {
			c.cfg.logger.Warn("several clients fight for one UUID: each registers it and throws the other out",
				"uuid", r.UUID, "name", r.Name, "remote", c.remote, "other", old.conn.remote, "takeovers_this_minute", old.takeovers, "hidden", hidden)
		}
	}
	old.conn.end(codeTakenOver, reasonTaken)
}

// claim registers r for c, and returns who had the UUID before.
func (c *conn) claim(r Registered, user User) (old owner, err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.code != 0 {
		return owner{}, errEnded
	}
	answer := newFrame(c.s.answerOK)
	if old, err = c.s.registry.add(r.UUID, c, user.ID, answer); err != nil {
		answer.free()
		return owner{}, err
	}
	c.user = user
	for i := range c.clients {
		if c.clients[i].UUID == r.UUID {
			c.clients[i] = r
			return old, nil
		}
	}
	c.stopTimer(c.registering)
	c.registering = nil
	c.clients = append(c.clients, r)
	return old, nil
}
