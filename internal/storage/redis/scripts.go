package redis

import (
	"context"
	"fmt"
	"time"

	"github.com/redis/go-redis/v9"

	"wellkey/internal/storage/lease"
)

// The scripts run whole or not at all. A guard is the value of the lock under
// which a write is made, "" = none; where the lock has another value, or none, the
// write is refused with 0.
var (
	storeScript = redis.NewScript(`
if ARGV[3] ~= '' and redis.call('GET', KEYS[3]) ~= ARGV[3] then return 0 end
local now = redis.call('TIME')
redis.call('HSET', KEYS[1], ARGV[1], string.format('%d%03d', now[1], math.floor(now[2] / 1000)) .. ':' .. ARGV[2])
redis.call('ZADD', KEYS[2], 0, ARGV[1])
return 1`)

	deleteScript = redis.NewScript(`
if ARGV[4] ~= '' and redis.call('GET', KEYS[3]) ~= ARGV[4] then return 0 end
redis.call('HDEL', KEYS[1], ARGV[1])
redis.call('ZREM', KEYS[2], ARGV[1])
for _, name in ipairs(redis.call('ZRANGEBYLEX', KEYS[2], '[' .. ARGV[2], '(' .. ARGV[3])) do
  redis.call('HDEL', KEYS[1], name)
  redis.call('ZREM', KEYS[2], name)
end
return 1`)

	// acquireScript takes a lock, and gives its fence. That it is ours already is
	// the answer to a call that was made twice, since the first answer was lost.
	acquireScript = redis.NewScript(`
local held = redis.call('GET', KEYS[1])
if held then
  local fence, owner = string.match(held, '^(%d+):(.*)$')
  if owner == ARGV[1] then return tonumber(fence) end
  return 0
end
local fence = redis.call('INCR', KEYS[2])
redis.call('SET', KEYS[1], fence .. ':' .. ARGV[1], 'NX', 'PX', ARGV[2])
return fence`)

	extendScript = redis.NewScript(`
if redis.call('GET', KEYS[1]) ~= ARGV[1] then return 0 end
return redis.call('PEXPIRE', KEYS[1], ARGV[2])`)

	// releaseScript goes by the owner alone: who got no answer knows no fence.
	releaseScript = redis.NewScript(`
local held = redis.call('GET', KEYS[1])
if not held or string.match(held, '^%d+:(.*)$') ~= ARGV[1] then return 0 end
return redis.call('DEL', KEYS[1])`)
)

func lockValue(fence int64, owner string) string { return fmt.Sprintf("%d:%s", fence, owner) }

// A server is the locks of a Store, as lease wants them.
type server struct{ store *Store }

func (s server) Acquire(ctx context.Context, name, owner string, ttl time.Duration) (int64, bool, error) {
	fence, err := acquireScript.Run(ctx, s.store.client, []string{lockKey(name), fences}, owner, ttl.Milliseconds()).Int64()
	if err != nil {
		return 0, false, s.store.explain(err)
	}
	return fence, fence > 0, nil
}

func (s server) Extend(ctx context.Context, l lease.Lease, ttl time.Duration) (bool, error) {
	return s.run(ctx, extendScript, l.Name, lockValue(l.Fence, l.Owner), ttl.Milliseconds())
}

func (s server) Release(ctx context.Context, l lease.Lease) (bool, error) {
	return s.run(ctx, releaseScript, l.Name, l.Owner)
}

func (s server) run(ctx context.Context, script *redis.Script, name string, args ...any) (bool, error) {
	done, err := script.Run(ctx, s.store.client, []string{lockKey(name)}, args...).Int()
	if err != nil {
		return false, s.store.explain(err)
	}
	return done > 0, nil
}
