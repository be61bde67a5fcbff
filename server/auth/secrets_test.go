package auth_test

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"strings"
	"testing"

	"github.com/seed73300619/relay/server/auth"
)

// sightings are the secrets of the tests, and the forms in which they could come
// out: as they are, and as Basic authentication has them.
var sightings = []string{
	"c4n4ry", "t0k3n", "YzRuNHJ5",
	base64.StdEncoding.EncodeToString([]byte(clientID + ":" + clientSecret)),
}

// said is all that can be got out of a value by printing and logging it.
func said(v any) string {
	var out bytes.Buffer
	fmt.Fprintf(&out, "%v\n%+v\n%#v\n%s\n%q\n", v, v, v, v, v)
	slog.New(slog.NewTextHandler(&out, nil)).Info("x", "v", v)
	slog.New(slog.NewJSONHandler(&out, nil)).Info("x", "v", v)
	text, _ := json.Marshal(v)
	out.Write(text)
	return out.String()
}

func TestT42_NoSecretIsSaid(t *testing.T) {
	const token = "c4n4ry-t0k3n"
	echo := func(code int, before string) http.HandlerFunc { // everything that it was sent, in its answer
		return func(w http.ResponseWriter, r *http.Request) {
			r.ParseForm()
			w.Header().Set("Content-Type", "application/json")
			w.Header().Set("Location", "/"+r.Form.Get("token"))
			w.WriteHeader(code)
			fmt.Fprint(w, before, r.Form, r.Header)
		}
	}
	for _, answer := range []http.HandlerFunc{
		echo(200, ""), echo(200, `{"active": true, "sub": "`+token+`"`), echo(302, ""), echo(401, ""), echo(500, ""),
		says(`{"active": false, "token": "` + token + `"}`),
		says(`{"active": true, "sub": 5, "aud": "` + token + `"}`),
		says(`{"active": true, "sub": "x", "aud": "` + token + `"}`),
		says(`{"active": "` + token + `"}`),
		broken("HTTP/1.1 "+token+"\r\n\r\n", false),
		broken("HTTP/1.1 200 "+token+"\r\n"+token+"\r\n\r\n", false),
	} {
		config := auth.IntrospectionConfig{
			URL: newStub(t, answer).URL + "/introspect?key=" + token, ClientID: clientID, ClientSecret: clientSecret, Audience: audience,
		}
		in, err := auth.NewIntrospection(config)
		if err != nil {
			t.Fatal(err)
		}
		c := bearing("Bearer " + token)
		_, err = in.Authenticate(t.Context(), c)
		if err == nil {
			t.Error("let in")
		}
		everything := said(config) + said(&config) + said(in) + said(struct{ Auth any }{in})
		for ; err != nil; err = errors.Unwrap(err) {
			everything += said(err)
		}
		for _, secret := range sightings {
			if at := strings.Index(everything, secret); at >= 0 {
				t.Errorf("%q is said: …%s", secret, everything[max(0, at-100):at+len(secret)])
			}
		}
	}
}

func TestTokensSayNone(t *testing.T) {
	tokens := load(t, "c4n4ry-t0k3n alice\n")
	_, err := tokens.Authenticate(context.Background(), bearing("Bearer another-t0k3n"))
	everything := said(tokens) + said(err)
	hash := sha256.Sum256([]byte("c4n4ry-t0k3n"))
	for _, secret := range append(sightings, fmt.Sprintf("%x", hash[:8])) {
		if strings.Contains(everything, secret) {
			t.Errorf("%q is said: %s", secret, everything)
		}
	}
}
