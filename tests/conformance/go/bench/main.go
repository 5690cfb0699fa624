// Command bench is the official Go client under `./dev bench sdk`; tests/bench/sdk_receiver.c says
// what is asked and printed.
//
//	bench receive URL json|protobuf MESSAGES
//	bench hold URL CLIENTS
package main

import (
	"fmt"
	"io"
	"log"
	"os"
	"regexp"
	"strconv"
	"sync"
	"syscall"
	"time"

	"github.com/centrifugal/centrifuge-go"
)

const firstNumber = 1000000000

func cpuSeconds() float64 {
	var usage syscall.Rusage
	_ = syscall.Getrusage(syscall.RUSAGE_SELF, &usage)
	return float64(usage.Utime.Sec+usage.Stime.Sec) + float64(usage.Utime.Usec+usage.Stime.Usec)/1e6
}

func newClient(url, encoding string) *centrifuge.Client {
	if encoding == "protobuf" {
		return centrifuge.NewProtobufClient(url, centrifuge.Config{})
	}
	return centrifuge.NewJsonClient(url, centrifuge.Config{})
}

func subscribe(client *centrifuge.Client) *centrifuge.Subscription {
	subscription, err := client.NewSubscription("bench")
	if err != nil {
		log.Fatal(err)
	}
	return subscription
}

func start(client *centrifuge.Client, subscription *centrifuge.Subscription) {
	if err := subscription.Subscribe(); err != nil {
		log.Fatal(err)
	}
	if err := client.Connect(); err != nil {
		log.Fatal(err)
	}
}

func receive(url, encoding string, expected int) {
	var count, wrong int
	var started time.Time
	var startCPU float64
	done := make(chan struct{})
	client := newClient(url, encoding)
	subscription := subscribe(client)
	subscription.OnPublication(func(event centrifuge.PublicationEvent) {
		if count == 0 {
			started, startCPU = time.Now(), cpuSeconds()
		}
		number, err := strconv.Atoi(string(event.Data[5:15]))
		if err != nil || number != firstNumber+count {
			wrong++
		}
		count++
		if count == expected {
			fmt.Printf("{\"messages\":%d,\"wrong\":%d,\"seconds\":%.6f,\"cpu_seconds\":%.6f}\n",
				count, wrong, time.Since(started).Seconds(), cpuSeconds()-startCPU)
			close(done)
		}
	})
	start(client, subscription)
	<-done
}

func status(field string) int {
	text, _ := os.ReadFile("/proc/self/status")
	value := regexp.MustCompile(`(?m)^` + field + `:\s+(\d+)`).FindSubmatch(text)
	number, _ := strconv.Atoi(string(value[1]))
	return number
}

func hold(url string, count int) {
	before := status("VmRSS")
	var ready sync.WaitGroup
	ready.Add(count)
	for i := 0; i < count; i++ {
		client := newClient(url, "json")
		subscription := subscribe(client)
		subscription.OnSubscribed(func(centrifuge.SubscribedEvent) { ready.Done() })
		start(client, subscription)
	}
	ready.Wait()
	fmt.Printf("{\"clients\":%d,\"before_kib\":%d,\"rss_kib\":%d,\"threads\":%d}\n",
		count, before, status("VmRSS"), status("Threads"))
	_, _ = io.Copy(io.Discard, os.Stdin)
}

func main() {
	last, err := strconv.Atoi(os.Args[len(os.Args)-1])
	if err != nil {
		log.Fatal(err)
	}
	if os.Args[1] == "receive" {
		receive(os.Args[2], os.Args[3], last)
	} else {
		hold(os.Args[2], last)
	}
}
