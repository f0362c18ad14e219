// Go's net/http and amqp091-go: answers once the broker has confirmed.
package main

import (
	"crypto/rand"
	"encoding/json"
	"fmt"
	"io"
	"log"
	"net/http"
	"os"
	"sync"
	"sync/atomic"
	"time"

	amqp "github.com/rabbitmq/amqp091-go"
)

const channels = 8

type publisher struct {
	lock     sync.Mutex // the library confirms in order only where publishes of a channel do not race
	channel  *amqp.Channel
	queue    string
	returned sync.Map
}

func open(connection *amqp.Connection, queue string) (*publisher, error) {
	channel, err := connection.Channel()
	if err != nil {
		return nil, err
	}
	if err := channel.Confirm(false); err != nil {
		return nil, err
	}
	_, err = channel.QueueDeclare(queue, true, false, false, false,
		amqp.Table{"x-queue-type": "quorum"})
	p := &publisher{channel: channel, queue: queue}
	returns := channel.NotifyReturn(make(chan amqp.Return, 64))
	go func() {
		for message := range returns {
			p.returned.Store(message.MessageId, true)
		}
	}()
	return p, err
}

func newID() string {
	var b [16]byte
	if _, err := rand.Read(b[:]); err != nil {
		panic(err)
	}
	b[6], b[8] = b[6]&0x0f|0x40, b[8]&0x3f|0x80
	return fmt.Sprintf("%x-%x-%x-%x-%x", b[0:4], b[4:6], b[6:8], b[8:10], b[10:])
}

func (p *publisher) save(body []byte) (string, bool) {
	id := newID()
	message := amqp.Publishing{Body: body, MessageId: id, DeliveryMode: amqp.Persistent,
		ContentType: "application/json", Type: "user.saved", AppId: "bench", Timestamp: time.Now()}
	p.lock.Lock()
	confirm, err := p.channel.PublishWithDeferredConfirm("", p.queue, true, false, message)
	p.lock.Unlock()
	if err != nil || !confirm.Wait() {
		return "", false
	}
	_, returned := p.returned.LoadAndDelete(id)
	return id, !returned
}

func main() {
	connection, err := amqp.Dial(os.Getenv("AMQP_URL"))
	if err != nil {
		log.Fatal(err)
	}
	var publishers [channels]*publisher
	for i := range publishers {
		if publishers[i], err = open(connection, os.Getenv("QUEUE")); err != nil {
			log.Fatal(err)
		}
	}
	var turn uint64
	http.HandleFunc("/healthz", func(w http.ResponseWriter, r *http.Request) {})
	http.HandleFunc("/users/save", func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, 65536))
		var user map[string]interface{}
		if err != nil || json.Unmarshal(body, &user) != nil || user["id"] == nil && user["name"] == nil {
			w.WriteHeader(http.StatusUnprocessableEntity)
			return
		}
		id, ok := publishers[atomic.AddUint64(&turn, 1)%channels].save(body)
		if !ok {
			w.WriteHeader(http.StatusServiceUnavailable)
			return
		}
		w.Header().Set("Content-Type", "application/json")
		_ = json.NewEncoder(w).Encode(map[string]interface{}{"success": true, "data": user, "id": id})
	})
	log.Fatal(http.ListenAndServe("127.0.0.1:"+os.Getenv("PORT"), nil))
}
