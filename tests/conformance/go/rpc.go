package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"sync"

	"github.com/centrifugal/centrifuge-go"
)

// calls goes through the methods of services/examples, as a user and as nobody.
type calls struct {
	user, nobody *centrifuge.Client
}

type answer struct {
	Text any
	By   string
	User string
}

func call(client *centrifuge.Client, method, params string) (answer, error) {
	var got answer
	result, err := client.RPC(context.Background(), method, []byte(params))
	if err == nil {
		err = json.Unmarshal(result.Data, &got)
	}
	return got, err
}

func (c *calls) connect() error {
	for _, client := range []*centrifuge.Client{c.user, c.nobody} {
		if err := client.Connect(); err != nil {
			return err
		}
	}
	return new(record).wait("both connected", func() bool {
		return c.user.State() == centrifuge.StateConnected && c.nobody.State() == centrifuge.StateConnected
	})
}

func (c *calls) rpc() error {
	said, err := call(c.user, "echo.v1.say", `{"text":"ü🙂"}`)
	if err != nil || said.Text != "ü🙂" || said.By == "" {
		return fmt.Errorf("%+v: %w", said, err)
	}
	who, err := call(c.user, "echo.v1.whoami", `{}`)
	if err != nil || who.User != "ann" {
		return fmt.Errorf("%+v: %w", who, err)
	}
	return nil
}

func (c *calls) atOnce() error {
	var group sync.WaitGroup
	failures := make(chan error, 100)
	for n := range 100 {
		group.Add(1)
		go func() {
			defer group.Done()
			said, err := call(c.user, "echo.v1.say", fmt.Sprintf(`{"text":%d}`, n))
			if err != nil || said.Text != float64(n) {
				failures <- fmt.Errorf("%+v in place of %d: %w", said, n, err)
			}
		}()
	}
	group.Wait()
	close(failures)
	return <-failures
}

func (c *calls) errors() error {
	for _, wanted := range []struct {
		code           uint32
		client         *centrifuge.Client
		method, params string
	}{
		{101, c.nobody, "echo.v1.whoami", `{}`},
		{104, c.user, "echo.v1.nothing", `{}`},
		{104, c.user, "nobody.v1.say", `{}`},
		{400, c.user, "echo.v1.say", `{}`},
		{100, c.user, "echo.v1.wait", `{"ms":"long"}`},
		{1504, c.user, "echo.v1.wait", `{"ms":600}`},
	} {
		var refused *centrifuge.Error
		got, err := call(wanted.client, wanted.method, wanted.params)
		if !errors.As(err, &refused) || refused.Code != wanted.code {
			return fmt.Errorf("%s: %+v, %v in place of %d", wanted.method, got, err, wanted.code)
		}
	}
	return nil
}

func makeCalls() {
	c := &calls{
		user:   newClient(os.Getenv("WH_FRONT"), centrifuge.Config{Token: os.Getenv("WH_TOKEN")}),
		nobody: newClient(os.Getenv("WH_FRONT"), centrifuge.Config{}),
	}
	for _, step := range []struct {
		name string
		run  func() error
	}{
		{"connect", c.connect}, {"rpc", c.rpc}, {"calls at once", c.atOnce}, {"errors", c.errors},
	} {
		if err := step.run(); err != nil {
			fmt.Printf("fail %s: %v\n", step.name, err)
			os.Exit(1)
		}
		fmt.Println("ok", step.name)
	}
	c.user.Close()
	c.nobody.Close()
}
