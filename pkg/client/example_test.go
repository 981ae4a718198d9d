package client_test

import (
	"context"
	"errors"
	"fmt"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path"
	"path/filepath"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/emptypb"

	"github.com/pathgrant/pathgrant/pkg/authz"
	"github.com/pathgrant/pathgrant/pkg/client"
)

// sidecar serves the tests' policy on a unix socket, as pathgrant serve does.
func sidecar() (target string, stop func()) {
	p, err := newProduct(context.Background())
	if err != nil {
		log.Fatal(err)
	}
	path := filepath.Join(p.dir, "authz.sock")
	l, err := net.Listen("unix", path)
	if err != nil {
		log.Fatal(err)
	}
	stopServing := serve(l, p)
	return "unix://" + path, func() {
		stopServing()
		if err := p.Close(); err != nil {
			fmt.Fprintln(os.Stderr, err)
		}
	}
}

func ExampleClient_Check() {
	target, stop := sidecar()
	defer stop()

	c, err := client.Dial(target)
	if err != nil {
		log.Fatal(err)
	}
	defer c.Close()
	d, err := c.Check(context.Background(), client.Question{
		Subject: client.Subject{Tenant: "contoso", Principal: authz.Principal{Type: authz.User, ID: "ada"}},
		HTTP:    &client.HTTPRequest{Method: "GET", Path: "/shop/environments/e2/orders"},
	})
	if err != nil {
		log.Fatal(err) // nothing was decided: refuse
	}
	fmt.Println(d.Allowed(), d.Reason, d.Missing)
	fmt.Println(d.Assignment.Effect, d.Assignment.RoleDefinitionName, d.Assignment.Scope)
	// Output:
	// false OVERRIDDEN [Shop.Orders.Read]
	// DENY Clerk /tenants/contoso/environments/e2
}

func ExampleMiddleware() {
	target, stop := sidecar()
	defer stop()
	c, err := client.Dial(target)
	if err != nil {
		log.Fatal(err)
	}
	defer c.Close()

	guard, err := client.Middleware(c, client.HTTPOptions{
		Subject: func(_ context.Context, r *http.Request) (client.Subject, error) {
			switch token := r.Header.Get("Authorization"); token {
			case "":
				return client.Subject{}, nil // nobody: what is public stays open
			case "Bearer ada": // here a service verifies the token
				return client.Subject{Tenant: "contoso", Principal: authz.Principal{Type: authz.User, ID: "ada"}}, nil
			default:
				return client.Subject{}, errors.New("not a token of ours")
			}
		},
	})
	if err != nil {
		log.Fatal(err)
	}
	mux := http.NewServeMux()
	mux.HandleFunc("GET /shop/orders/{id}", func(w http.ResponseWriter, r *http.Request) {
		d, _ := client.DecisionFrom(r.Context())
		fmt.Fprintf(w, "order %s, for %s", r.PathValue("id"), d.Permissions[0])
	})
	shop := httptest.NewServer(guard(mux)) // the guard stands before the router
	defer shop.Close()

	for _, token := range []string{"Bearer ada", "Bearer eve", ""} {
		r, err := http.NewRequest(http.MethodGet, shop.URL+"/shop/orders/7", nil)
		if err != nil {
			log.Fatal(err)
		}
		if token != "" {
			r.Header.Set("Authorization", token)
		}
		response, err := shop.Client().Do(r)
		if err != nil {
			log.Fatal(err)
		}
		fmt.Println(response.Status)
		response.Body.Close()
	}
	// Output:
	// 200 OK
	// 401 Unauthorized
	// 401 Unauthorized
}

// orders is a service with two methods that take and give nothing.
var orders = grpc.ServiceDesc{
	ServiceName: "shop.v1.Orders", HandlerType: (*any)(nil),
	Methods: []grpc.MethodDesc{order("/shop.v1.Orders/ListOrders"), order("/shop.v1.Orders/CancelOrder")},
}

func order(fullMethod string) grpc.MethodDesc {
	return grpc.MethodDesc{
		MethodName: path.Base(fullMethod),
		Handler: func(server any, ctx context.Context, decode func(any) error, i grpc.UnaryServerInterceptor) (any, error) {
			in := &emptypb.Empty{}
			if err := decode(in); err != nil {
				return nil, err
			}
			return i(ctx, in, &grpc.UnaryServerInfo{Server: server, FullMethod: fullMethod}, func(context.Context, any) (any, error) {
				return &emptypb.Empty{}, nil
			})
		},
	}
}

func ExampleInterceptor() {
	target, stop := sidecar()
	defer stop()
	c, err := client.Dial(target)
	if err != nil {
		log.Fatal(err)
	}
	defer c.Close()

	i, err := client.NewInterceptor(c, client.GRPCOptions{
		Subject: func(ctx context.Context) (client.Subject, error) {
			switch token := metadata.ValueFromIncomingContext(ctx, "authorization"); {
			case len(token) == 0:
				return client.Subject{}, nil
			case len(token) == 1 && token[0] == "Bearer ada": // here a service verifies the token
				return client.Subject{Tenant: "contoso", Principal: authz.Principal{Type: authz.User, ID: "ada"}}, nil
			default:
				return client.Subject{}, errors.New("not a token of ours")
			}
		},
		Permission: func(_ context.Context, fullMethod string, _ client.Subject) (authz.Permission, authz.Scope) {
			switch fullMethod {
			case "/shop.v1.Orders/ListOrders":
				return "Shop.Orders.Read", "" // at the subject's tenant
			default:
				return "", "" // denied
			}
		},
		Open: []string{"/grpc.health.v1.Health/"},
	})
	if err != nil {
		log.Fatal(err)
	}
	shop := grpc.NewServer(grpc.UnaryInterceptor(i.Unary), grpc.StreamInterceptor(i.Stream))
	shop.RegisterService(&orders, nil)
	conn, stopShop := connect(shop)
	defer stopShop()

	ctx := context.Background()
	ada := metadata.AppendToOutgoingContext(ctx, "authorization", "Bearer ada")
	in, out := &emptypb.Empty{}, &emptypb.Empty{}
	fmt.Println(status.Code(conn.Invoke(ada, "/shop.v1.Orders/ListOrders", in, out)))
	fmt.Println(status.Code(conn.Invoke(ada, "/shop.v1.Orders/CancelOrder", in, out)))
	fmt.Println(status.Code(conn.Invoke(ctx, "/shop.v1.Orders/ListOrders", in, out)))
	// Output:
	// OK
	// PermissionDenied
	// Unauthenticated
}

// connect serves on a loopback address and returns a connection to it.
func connect(server *grpc.Server) (conn *grpc.ClientConn, stop func()) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		log.Fatal(err)
	}
	served := make(chan struct{})
	go func() {
		defer close(served)
		_ = server.Serve(l)
	}()
	if conn, err = grpc.NewClient(l.Addr().String(), grpc.WithTransportCredentials(insecure.NewCredentials())); err != nil {
		log.Fatal(err)
	}
	return conn, func() {
		_ = conn.Close()
		server.Stop()
		<-served
	}
}
