// @ts-check
// Sign-in at Cognito's hosted login: authorization code with PKCE. Tokens live no longer than the tab.

const TOKENS = "noren.tokens";
const PENDING = "noren.sign-in";
const SCOPE = "openid email profile";

/** @typedef {{access_token: string, refresh_token?: string, expires_at: number}} Tokens */
/** @typedef {{authority: string, token_url: string, signup_url: string, client_id: string}} Login */

/** @param {Uint8Array} bytes */
const base64url = (bytes) => btoa(String.fromCharCode(...bytes)).replace(/\+/g, "-").replace(/\//g, "_").replace(/=+$/, "");
const random = () => base64url(crypto.getRandomValues(new Uint8Array(32)));
const home = () => `${location.origin}/`;

export class Session {
  /** @param {Login} login */
  constructor(login) {
    this.login = login;
    /** @type {Tokens | null} */
    this.tokens = JSON.parse(sessionStorage.getItem(TOKENS) ?? "null");
    /** @type {Promise<void> | null} */
    this.refreshing = null;
  }

  get signedIn() {
    return this.tokens !== null;
  }

  /** The person's groups, as the access token says; only to explain things: the APIs decide by themselves. */
  get groups() {
    const payload = (this.tokens?.access_token ?? "").split(".")[1];
    if (!payload) return [];
    /** @type {string[]} */
    const groups = JSON.parse(atob(payload.replace(/-/g, "+").replace(/_/g, "/")))["cognito:groups"] ?? [];
    return groups;
  }

  /**
   * Leave for the hosted login (or its sign-up page).
   * @param {"sign-in" | "sign-up"} where
   * @param {string} [back] the page of ours to come back to
   */
  async leave(where, back = "") {
    const verifier = random();
    const state = random();
    sessionStorage.setItem(PENDING, JSON.stringify({ verifier, state, back }));
    const digest = await crypto.subtle.digest("SHA-256", new TextEncoder().encode(verifier));
    const query = new URLSearchParams({
      response_type: "code",
      client_id: this.login.client_id,
      redirect_uri: home(),
      scope: SCOPE,
      state,
      code_challenge_method: "S256",
      code_challenge: base64url(new Uint8Array(digest)),
    });
    location.assign(`${where === "sign-up" ? this.login.signup_url : `${this.login.authority}/oauth2/authorize`}?${query}`);
  }

  /**
   * Finish a sign-in if the address says that we come back from one. Raises what to tell the person.
   * @returns {Promise<string>} the page of ours where it began; "" for this one
   */
  async comeBack() {
    const query = new URLSearchParams(location.search);
    if (!query.has("code") && !query.has("error")) return "";
    const pending = JSON.parse(sessionStorage.getItem(PENDING) ?? "null");
    sessionStorage.removeItem(PENDING);
    history.replaceState(null, "", "/");
    if (!pending || query.get("state") !== pending.state || query.has("error")) throw new Error("sign-in refused");
    await this.fetchTokens({
      grant_type: "authorization_code",
      code: query.get("code") ?? "",
      redirect_uri: home(),
      code_verifier: pending.verifier,
    });
    return pending.back ?? "";
  }

  /** @param {Record<string, string>} grant */
  async fetchTokens(grant) {
    const body = new URLSearchParams({ ...grant, client_id: this.login.client_id });
    const response = await fetch(this.login.token_url, { method: "POST", body, credentials: "omit" });
    if (!response.ok) throw new Error(`token endpoint: ${response.status}`);
    const answer = await response.json();
    this.tokens = {
      access_token: answer.access_token,
      refresh_token: answer.refresh_token ?? this.tokens?.refresh_token,
      expires_at: Date.now() + answer.expires_in * 1000,
    };
    sessionStorage.setItem(TOKENS, JSON.stringify(this.tokens));
  }

  /**
   * A token that is good for another half minute; "" once the sign-in is over.
   * @returns {Promise<string>}
   */
  async accessToken() {
    if (this.tokens && this.tokens.expires_at < Date.now() + 30_000) {
      this.refreshing ??= this.fetchTokens({ grant_type: "refresh_token", refresh_token: this.tokens.refresh_token ?? "" })
        .catch(() => this.forget())
        .finally(() => { this.refreshing = null; });
      await this.refreshing;
    }
    return this.tokens?.access_token ?? "";
  }

  forget() {
    this.tokens = null;
    sessionStorage.removeItem(TOKENS);
  }

  /** Forget the tokens, revoke the refresh token and end the hosted login's own session. */
  async signOut() {
    const { authority, client_id } = this.login;
    const token = this.tokens?.refresh_token;
    this.forget();
    if (token) {
      const body = new URLSearchParams({ token, client_id });
      await fetch(`${authority}/oauth2/revoke`, { method: "POST", body, credentials: "omit" }).catch(() => {});
    }
    location.assign(`${authority}/logout?${new URLSearchParams({ client_id, logout_uri: home() })}`);
  }
}
