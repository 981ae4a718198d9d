package main

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/go-jose/go-jose/v4"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/metadata"

	pathgrantv1 "github.com/pathgrant/pathgrant/pkg/api/pathgrant/v1"
)

const (
	// changeInFlight is how many decisions are asked for at a time while changes are made.
	changeInFlight = 16
	// changePhase is how long each kind of change goes on, and changeEvery how often a
	// single one is made.
	changePhase = 4 * time.Second
	changeEvery = 100 * time.Millisecond
	// changedAtOnce is how many assignments are made in a row, and how many principals one
	// change is about.
	changedAtOnce = 1000

	adminIssuer   = "https://issuer.example"
	adminAudience = "https://administration.example"
	adminUser     = "ad319000-0000-4000-8000-000000000001"
	changedGroup  = "96079999-0000-4000-8000-000000000001"
)

// changing measures decisions while what they depend on is changed, on a copy of the data.
func (r *runner) changing(ctx context.Context, w world, original string) (err error) {
	data := original + "-changed"
	if err := os.CopyFS(data, os.DirFS(original)); err != nil {
		return err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(data)) }()
	token, keys, err := administrator()
	if err != nil {
		return err
	}
	jwks, socket := filepath.Join(r.dir, "jwks.json"), filepath.Join(r.dir, "a")
	if err := os.WriteFile(jwks, keys, 0o600); err != nil {
		return err
	}
	s, err := r.start(ctx, data, r.cache, "--admin-listen", "unix://"+socket, "--jwks", jwks, "--issuer", adminIssuer,
		"--audience", adminAudience, "--issuer-tenant", tenantID, "--admin-audience", adminAudience)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, s.stop()) }()
	if _, err := s.ready(ctx); err != nil {
		return err
	}
	c, err := newChanger(ctx, w, socket, data, token)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, c.conn.Close()) }()
	if _, err := r.time(ctx, s, w, min(warmChecks, 5*hot), min(hot, w.users)); err != nil {
		return err
	}
	for _, phase := range []struct {
		name   string
		change func(context.Context) ([]time.Duration, error) // which says how long each change took
	}{
		{"quiet", func(ctx context.Context) ([]time.Duration, error) { return nil, sleep(ctx, changePhase) }},
		{fmt.Sprintf("one assignment every %v", changeEvery), c.now(c.single)},
		{fmt.Sprintf("%d assignments in a row", changedAtOnce), c.inARow},
		{fmt.Sprintf("%d principals in one change", changedAtOnce), c.now(c.members)},
		{"quiet again", func(ctx context.Context) ([]time.Duration, error) { return nil, sleep(ctx, changePhase) }},
	} {
		if err := r.whileChanging(ctx, w, s, phase.name, phase.change); err != nil {
			return fmt.Errorf("%s: %w", phase.name, err)
		}
	}
	return nil
}

// whileChanging asks until the change is over, and prints how long answers took.
func (r *runner) whileChanging(ctx context.Context, w world, s *server, name string, change func(context.Context) ([]time.Duration, error)) error {
	over := make(chan struct{})
	took := make([][]time.Duration, changeInFlight)
	failed := make(chan error, changeInFlight)
	var asking sync.WaitGroup
	for caller := range changeInFlight {
		asking.Go(func() {
			users := min(hot, w.users)
			for i := caller; ; i += changeInFlight {
				select {
				case <-over:
					return
				default:
				}
				began := time.Now()
				reason, err := s.check(ctx, w, i%users*(w.users/users))
				if err == nil && reason == notReady {
					err = errors.New("a decision was NOT_READY")
				}
				if err != nil {
					failed <- err
					return
				}
				took[caller] = append(took[caller], time.Since(began))
			}
		})
	}
	began := time.Now()
	changes, err := change(ctx)
	lasted := time.Since(began)
	close(over)
	asking.Wait()
	close(failed)
	for e := range failed {
		err = errors.Join(err, e)
	}
	if err != nil {
		return err
	}
	all := slices.Concat(took...)
	if len(all) == 0 {
		return errors.New("nothing was answered")
	}
	slices.Sort(all)
	each := ""
	if len(changes) > 0 {
		slices.Sort(changes)
		each = fmt.Sprintf("; %d changes, median %.1f ms", len(changes), micros(quantile(changes, 0.5))/1000)
	}
	r.printf(w, "decisions, "+name, "p50 %.0f us, p99 %.0f us, p99.9 %.0f us at %d in flight (%.0f/s%s)", micros(quantile(all, 0.5)),
		micros(quantile(all, 0.99)), micros(quantile(all, 0.999)), changeInFlight, float64(len(all))/lasted.Seconds(), each)
	return nil
}

func quantile(sorted []time.Duration, q float64) time.Duration {
	return sorted[min(int(q*float64(len(sorted))), len(sorted)-1)]
}

func sleep(ctx context.Context, d time.Duration) error {
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-time.After(d):
		return nil
	}
}

// administrator makes a token for a user, and the keys that it is verified with.
func administrator() (token string, jwks []byte, err error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return "", nil, err
	}
	public := jose.JSONWebKey{Key: key.Public(), KeyID: "scale", Algorithm: string(jose.ES256), Use: "sig"}
	if jwks, err = json.Marshal(jose.JSONWebKeySet{Keys: []jose.JSONWebKey{public}}); err != nil {
		return "", nil, err
	}
	signer, err := jose.NewSigner(jose.SigningKey{Algorithm: jose.ES256, Key: jose.JSONWebKey{Key: key, KeyID: "scale"}}, (&jose.SignerOptions{}).WithType("JWT"))
	if err != nil {
		return "", nil, err
	}
	now := time.Now()
	claims, err := json.Marshal(map[string]any{
		"iss": adminIssuer, "aud": adminAudience, "tid": tenantID, "oid": adminUser, "sub": adminUser,
		"iat": now.Unix(), "nbf": now.Add(-time.Minute).Unix(), "exp": now.Add(4 * time.Hour).Unix(),
		"scp": "user_impersonation", "ver": "2.0",
	})
	if err != nil {
		return "", nil, err
	}
	signed, err := signer.Sign(claims)
	if err != nil {
		return "", nil, err
	}
	token, err = signed.CompactSerialize()
	return token, jwks, err
}

// A changer changes what decisions depend on.
type changer struct {
	conn  *grpc.ClientConn
	token string
	world world
	made  string // the assignment that was made last; empty: it was taken back
	full  bool   // whether the group has its members
	turn  int
}

// newChanger makes an administrator, with the operator's secret, and a group.
func newChanger(ctx context.Context, w world, socket, data, token string) (*changer, error) {
	conn, err := grpc.NewClient("unix://"+socket, grpc.WithTransportCredentials(insecure.NewCredentials()), grpc.WithNoProxy())
	if err != nil {
		return nil, err
	}
	c := &changer{conn: conn, token: token, world: w}
	secret, err := os.ReadFile(filepath.Join(data, "operator-secret"))
	if err == nil {
		as := metadata.AppendToOutgoingContext(ctx, "authorization", "Operator "+strings.TrimSpace(string(secret)))
		_, err = pathgrantv1.NewOperatorServiceClient(conn).BreakGlass(as, &pathgrantv1.BreakGlassRequest{
			Tenant: tenantID, Principal: user(adminUser), Justification: "a measurement",
		}, grpc.WaitForReady(true))
	}
	if err == nil {
		_, err = pathgrantv1.NewDirectoryServiceClient(conn).PutGroup(c.as(ctx), &pathgrantv1.PutGroupRequest{Group: &pathgrantv1.Group{Id: changedGroup}})
	}
	if err != nil {
		return nil, errors.Join(err, conn.Close())
	}
	return c, nil
}

func user(id string) *pathgrantv1.Principal {
	return &pathgrantv1.Principal{Type: pathgrantv1.PrincipalType_PRINCIPAL_TYPE_USER, Id: id}
}

func (c *changer) as(ctx context.Context) context.Context {
	return metadata.AppendToOutgoingContext(ctx, "authorization", "Bearer "+c.token)
}

// now makes a change now and then, and says how long each took.
func (c *changer) now(change func(context.Context) error) func(context.Context) ([]time.Duration, error) {
	return func(ctx context.Context) (took []time.Duration, err error) {
		end := time.Now().Add(changePhase)
		for time.Now().Before(end) {
			began := time.Now()
			if err := change(ctx); err != nil {
				return nil, err
			}
			took = append(took, time.Since(began))
			if err := sleep(ctx, changeEvery-time.Since(began)); err != nil {
				return nil, err
			}
		}
		return took, nil
	}
}

// single makes an assignment, or takes the last one back.
func (c *changer) single(ctx context.Context) error {
	assignments := pathgrantv1.NewRoleAssignmentServiceClient(c.conn)
	if c.made != "" {
		_, err := assignments.DeleteRoleAssignment(c.as(ctx), &pathgrantv1.DeleteRoleAssignmentRequest{Id: c.made})
		c.made = ""
		return err
	}
	made, err := c.assign(ctx)
	c.made = made
	return err
}

// assign gives the next user one assignment more, where it has none.
func (c *changer) assign(ctx context.Context) (string, error) {
	c.turn++
	made, err := pathgrantv1.NewRoleAssignmentServiceClient(c.conn).CreateRoleAssignment(c.as(ctx), &pathgrantv1.CreateRoleAssignmentRequest{
		Principal: user(userID(c.turn % c.world.users)), Role: shippedRoles[0],
		Scope: fmt.Sprintf("/tenants/%s%s/apps/changed-%d", tenantID, envPlace(c.turn%c.world.environments), c.turn),
	})
	return made.GetRoleAssignment().GetId(), err
}

// inARow makes assignments, one after the other, and says how long each took.
func (c *changer) inARow(ctx context.Context) (took []time.Duration, err error) {
	for range changedAtOnce {
		began := time.Now()
		if _, err := c.assign(ctx); err != nil {
			return nil, err
		}
		took = append(took, time.Since(began))
	}
	return took, nil
}

// members puts many users into the group, or takes them out of it.
func (c *changer) members(ctx context.Context) error {
	directory := pathgrantv1.NewDirectoryServiceClient(c.conn)
	many := make([]*pathgrantv1.Principal, min(changedAtOnce, c.world.users))
	for i := range many {
		many[i] = user(userID(i))
	}
	var err error
	if c.full = !c.full; c.full {
		_, err = directory.AddGroupMembers(c.as(ctx), &pathgrantv1.AddGroupMembersRequest{Group: changedGroup, Members: many})
	} else {
		_, err = directory.RemoveGroupMembers(c.as(ctx), &pathgrantv1.RemoveGroupMembersRequest{Group: changedGroup, Members: many})
	}
	return err
}
