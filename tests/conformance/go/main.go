// Command scenario drives the official Go client through every feature that it has; what it prints
// and why is in sdk.mjs.
package main

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"os"
	"sync"
	"time"

	"github.com/centrifugal/centrifuge-go"
)

const patience = 10 * time.Second

var channel, serverChannel = os.Getenv("WH_CHANNEL"), os.Getenv("WH_SERVER_CHANNEL")

// record is what handlers saw; they run on goroutines of the client.
type record struct {
	mutex        sync.Mutex
	tokens       int
	interrupted  int
	main, server []int
	users        []string
	joins        []string
	leaves       []string
	subscribed   []centrifuge.SubscribedEvent
	serverSubs   []centrifuge.ServerSubscribedEvent
}

func (r *record) change(change func()) {
	r.mutex.Lock()
	defer r.mutex.Unlock()
	change()
}

func (r *record) wait(what string, condition func() bool) error {
	for deadline := time.Now().Add(patience); time.Now().Before(deadline); time.Sleep(5 * time.Millisecond) {
		holds := false
		r.change(func() { holds = condition() })
		if holds {
			return nil
		}
	}
	return fmt.Errorf("waited in vain: %s", what)
}

func number(data []byte) int {
	var value struct{ N int }
	if json.Unmarshal(data, &value) != nil {
		return -1
	}
	return value.N
}

func payload(n int) []byte { return fmt.Appendf(nil, `{"n":%d}`, n) }

func isCount(numbers []int, first, last int) bool {
	for index, n := range numbers {
		if n != first+index {
			return false
		}
	}
	return len(numbers) == last-first+1
}

func newClient(url string, config centrifuge.Config) *centrifuge.Client {
	config.MinReconnectDelay, config.MaxReconnectDelay = 20*time.Millisecond, 200*time.Millisecond
	if os.Getenv("WH_ENCODING") == "Protobuf" {
		return centrifuge.NewProtobufClient(url, config)
	}
	return centrifuge.NewJsonClient(url, config)
}

func (r *record) watchClient(client *centrifuge.Client) {
	client.OnConnecting(func(centrifuge.ConnectingEvent) { r.change(func() { r.interrupted++ }) })
	client.OnSubscribed(func(event centrifuge.ServerSubscribedEvent) {
		r.change(func() { r.serverSubs = append(r.serverSubs, event) })
	})
	client.OnPublication(func(event centrifuge.ServerPublicationEvent) {
		if event.Channel == serverChannel {
			r.change(func() { r.server = append(r.server, number(event.Data)) })
		}
	})
}

func (r *record) watch(subscription *centrifuge.Subscription) {
	subscription.OnSubscribed(func(event centrifuge.SubscribedEvent) {
		r.change(func() { r.subscribed = append(r.subscribed, event) })
	})
	subscription.OnPublication(func(event centrifuge.PublicationEvent) {
		r.change(func() {
			r.main = append(r.main, number(event.Data))
			if event.Info != nil {
				r.users = append(r.users, event.Info.User)
			}
		})
	})
	subscription.OnJoin(func(event centrifuge.JoinEvent) {
		r.change(func() { r.joins = append(r.joins, event.User) })
	})
	subscription.OnLeave(func(event centrifuge.LeaveEvent) {
		r.change(func() { r.leaves = append(r.leaves, event.User) })
	})
}

func contains(names []string, name string) bool {
	for _, other := range names {
		if other == name {
			return true
		}
	}
	return false
}

var answers = bufio.NewScanner(os.Stdin)

// ask has the test do something with the network, and waits until it is done.
func ask(what string) error {
	fmt.Println("ask", what)
	if !answers.Scan() {
		return fmt.Errorf("nobody did %s", what)
	}
	return nil
}

func publishAll(client *centrifuge.Client, to string, first, last int) error {
	for n := first; n <= last; n++ {
		if _, err := client.Publish(context.Background(), to, payload(n)); err != nil {
			return fmt.Errorf("publishing %d: %w", n, err)
		}
	}
	return nil
}

type scenario struct {
	*record
	client, other        *centrifuge.Client
	subscription, theirs *centrifuge.Subscription
}

func (s *scenario) connect() error {
	s.watchClient(s.client)
	if err := s.client.Connect(); err != nil {
		return err
	}
	if err := s.other.Connect(); err != nil {
		return err
	}
	return s.wait("both connected", func() bool {
		return s.client.State() == centrifuge.StateConnected && s.other.State() == centrifuge.StateConnected
	})
}

func (s *scenario) subscribe() (err error) {
	if s.subscription, err = s.client.NewSubscription(channel); err != nil {
		return err
	}
	s.watch(s.subscription)
	if err = s.subscription.Subscribe(); err != nil {
		return err
	}
	return s.wait("a recoverable subscription", func() bool {
		return len(s.subscribed) == 1 && s.subscribed[0].Recoverable && s.subscribed[0].StreamPosition != nil
	})
}

func (s *scenario) serverSide() error {
	if err := s.wait("the subscription of the token", func() bool {
		return len(s.serverSubs) == 1 && s.serverSubs[0].Channel == serverChannel && s.serverSubs[0].Recoverable
	}); err != nil {
		return err
	}
	if err := publishAll(s.other, serverChannel, 1, 1); err != nil {
		return err
	}
	return s.wait("its publication", func() bool { return isCount(s.server, 1, 1) })
}

func (s *scenario) join() (err error) {
	if s.theirs, err = s.other.NewSubscription(channel); err != nil {
		return err
	}
	if err = s.theirs.Subscribe(); err != nil {
		return err
	}
	return s.wait("a join", func() bool { return contains(s.joins, "bob") })
}

func (s *scenario) publish() error {
	if _, err := s.subscription.Publish(context.Background(), payload(1)); err != nil {
		return err
	}
	return s.wait("the publication", func() bool {
		return isCount(s.main, 1, 1) && len(s.users) == 1 && s.users[0] == "ann"
	})
}

func (s *scenario) presence() error {
	result, err := s.subscription.Presence(context.Background())
	if err != nil {
		return err
	}
	users := map[string]bool{}
	for id, info := range result.Clients {
		if id != info.Client {
			return fmt.Errorf("%s under %s", info.Client, id)
		}
		users[info.User] = true
	}
	if len(result.Clients) != 2 || !users["ann"] || !users["bob"] {
		return fmt.Errorf("%v", result.Clients)
	}
	return nil
}

func (s *scenario) presenceStats() error {
	stats, err := s.subscription.PresenceStats(context.Background())
	if err == nil && (stats.NumClients != 2 || stats.NumUsers != 2) {
		err = fmt.Errorf("%+v", stats)
	}
	return err
}

func (s *scenario) history() error {
	if err := publishAll(s.other, channel, 2, 3); err != nil {
		return err
	}
	for _, wanted := range []struct {
		options []centrifuge.HistoryOption
		numbers []int
	}{
		{nil, nil},
		{[]centrifuge.HistoryOption{centrifuge.WithHistoryLimit(10)}, []int{1, 2, 3}},
		{[]centrifuge.HistoryOption{centrifuge.WithHistoryLimit(2), centrifuge.WithHistoryReverse(true)}, []int{3, 2}},
	} {
		result, err := s.subscription.History(context.Background(), wanted.options...)
		if err != nil {
			return err
		}
		var numbers []int
		for _, publication := range result.Publications {
			numbers = append(numbers, number(publication.Data))
		}
		if fmt.Sprint(numbers) != fmt.Sprint(wanted.numbers) || result.Offset != 3 || result.Epoch == "" {
			return fmt.Errorf("%v in place of %v", result, wanted.numbers)
		}
	}
	_, err := s.subscription.History(context.Background(), centrifuge.WithHistoryLimit(1),
		centrifuge.WithHistorySince(&centrifuge.StreamPosition{Offset: 1, Epoch: "other"}))
	if err == nil {
		return fmt.Errorf("a history of another epoch")
	}
	return nil
}

func (s *scenario) leave() error {
	if err := s.theirs.Unsubscribe(); err != nil {
		return err
	}
	return s.wait("a leave", func() bool { return contains(s.leaves, "bob") })
}

func (s *scenario) refresh() error {
	if err := s.wait("a call for a token", func() bool { return s.tokens == 1 }); err != nil {
		return err
	}
	if err := ask("wait for the end of the first token"); err != nil {
		return err
	}
	if _, err := s.client.History(context.Background(), channel); err != nil {
		return err
	}
	return s.wait("no interruption", func() bool { return s.interrupted == 1 })
}

func (s *scenario) recover() error {
	if err := ask("cut"); err != nil {
		return err
	}
	if err := s.wait("an interruption", func() bool { return s.interrupted == 2 }); err != nil {
		return err
	}
	if err := publishAll(s.other, channel, 4, 30); err != nil {
		return err
	}
	if err := publishAll(s.other, serverChannel, 2, 20); err != nil {
		return err
	}
	if err := ask("mend"); err != nil {
		return err
	}
	if err := s.wait("recovery", func() bool {
		return len(s.subscribed) == 2 && s.subscribed[1].WasRecovering && s.subscribed[1].Recovered
	}); err != nil {
		return err
	}
	return s.wait("what was missed", func() bool { return isCount(s.main, 1, 30) })
}

func (s *scenario) serverSideRecover() error {
	if err := s.wait("recovery", func() bool {
		return len(s.serverSubs) == 2 && s.serverSubs[1].WasRecovering && s.serverSubs[1].Recovered
	}); err != nil {
		return err
	}
	return s.wait("what was missed", func() bool { return isCount(s.server, 1, 20) })
}

func main() {
	if os.Getenv("WH_RPC") != "" {
		makeCalls()
		return
	}
	r := &record{}
	s := &scenario{record: r}
	s.client = newClient(os.Getenv("WH_FRONT"), centrifuge.Config{
		Token: os.Getenv("WH_SHORT_TOKEN"),
		GetToken: func(centrifuge.ConnectionTokenEvent) (string, error) {
			r.change(func() { r.tokens++ })
			return os.Getenv("WH_TOKEN"), nil
		},
	})
	s.other = newClient(os.Getenv("WH_BACK"), centrifuge.Config{Token: os.Getenv("WH_OTHER_TOKEN")})
	for _, step := range []struct {
		name string
		run  func() error
	}{
		{"connect", s.connect}, {"subscribe", s.subscribe}, {"server-side subscription", s.serverSide},
		{"join", s.join}, {"publish", s.publish}, {"presence", s.presence},
		{"presence stats", s.presenceStats}, {"history", s.history}, {"leave", s.leave},
		{"refresh", s.refresh}, {"recover", s.recover},
		{"server-side recover", s.serverSideRecover},
	} {
		if err := step.run(); err != nil {
			fmt.Printf("fail %s: %v; seen: %+v\n", step.name, err, r)
			os.Exit(1)
		}
		fmt.Println("ok", step.name)
	}
	s.client.Close()
	s.other.Close()
}
