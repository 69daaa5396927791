// SPDX-License-Identifier: MIT
#include "relay/password.h"

#include "base/bug.h"

#include <crypt.h>
#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>

// At about 20 checks a second and thread, more than this would wait longer than clients do.
enum { QUEUE_MAX = 512, PASSWORD_MAX = CRYPT_MAX_PASSPHRASE_SIZE - 1 };

struct password_ticket {
    struct task task; // first: posted back to the loop
    struct password_ticket *next;
    struct loop *loop;
    password_fn answer; // NULL: cancelled. The loop's thread only
    void *arg;
    _Atomic bool cancelled; // tells the pool to spare itself the work
    enum password_result result;
    char *hash; // NULL: the decoy
    size_t length;
    char password[]; // NUL-terminated
};

struct password_pool {
    pthread_mutex_t lock; // the queue has many takers, which base/queue.h does not serve
    pthread_cond_t wake;
    struct password_ticket *first, **last;
    size_t waiting;
    bool ending;
    char *decoy;
    int thread_count;
    pthread_t threads[];
};

// ---- crypt --------------------------------------------------------------------------------------

static bool equal_in_constant_time(const char *a, const char *b, size_t len) {
    unsigned char differs = 0;
    for (size_t i = 0; i < len; i++)
        differs |= (unsigned char)(a[i] ^ b[i]);
    return differs == 0;
}

static bool matches(const char *hash, const char *password, struct crypt_data *work) {
    const char *made = crypt_r(password, hash, work);
    if (!made || made[0] == '*') return false;
    size_t len = strlen(made);
    return len == strlen(hash) && equal_in_constant_time(made, hash, len);
}

static bool is_locked(const char *hash) {
    return hash[0] == '!' || hash[0] == '*';
}

// crypt(3) would stop at a NUL, and so take "right\0wrong" for "right".
static bool is_usable(struct bytes password) {
    return password.len <= PASSWORD_MAX && (password.len == 0 || !memchr(password.at, 0, password.len));
}

static void work_free(struct crypt_data *work) {
    explicit_bzero(work, sizeof *work);
    free(work);
}

bool password_hash(struct bytes password, struct buf *out, struct err *err) {
    if (!is_usable(password)) return err_set(err, "a password has at most %d bytes and no NUL", PASSWORD_MAX);
    char setting[CRYPT_GENSALT_OUTPUT_SIZE];
    if (!crypt_gensalt_rn("$y$", 0, NULL, 0, setting, sizeof setting))
        return err_errno(err, "no salt for a password hash");
    struct crypt_data *work = must_alloc(sizeof *work);
    char *z = bytes_dupz(password);
    const char *made = crypt_r(z, setting, work);
    bool good = made && made[0] != '*';
    if (good)
        buf_addz(out, made);
    else
        err_errno(err, "crypt(3) makes no yescrypt hash");
    explicit_bzero(z, password.len);
    free(z);
    work_free(work);
    return good;
}

bool password_matches(const char *hash, struct bytes password) {
    if (!is_usable(password) || is_locked(hash)) return false;
    struct crypt_data *work = must_alloc(sizeof *work);
    char *z = bytes_dupz(password);
    bool same = matches(hash, z, work);
    explicit_bzero(z, password.len);
    free(z);
    work_free(work);
    return same;
}

// ---- tickets ------------------------------------------------------------------------------------

static void ticket_free(struct password_ticket *t) {
    explicit_bzero(t->password, t->length);
    if (t->hash) explicit_bzero(t->hash, strlen(t->hash));
    free(t->hash);
    free(t);
}

static void deliver(struct task *task) {
    struct password_ticket *t = (struct password_ticket *)task;
    password_fn answer = t->answer;
    void *arg = t->arg;
    enum password_result result = t->result;
    ticket_free(t);
    if (answer) answer(arg, result);
}

static void hand_back(struct password_ticket *t, enum password_result result) {
    t->result = result;
    t->task.run = deliver;
    loop_post(t->loop, &t->task);
}

static struct password_ticket *ticket_new(struct loop *loop, const char *hash, struct bytes password,
                                          password_fn answer, void *arg) {
    // An unusable password can never be right, yet must cost what others cost: it is checked as an empty one
    // against the decoy.
    bool usable = is_usable(password);
    size_t length = usable ? password.len : 0;
    struct password_ticket *t = must_alloc(sizeof *t + length + 1);
    t->loop = loop;
    t->answer = answer;
    t->arg = arg;
    t->hash = hash && usable && !is_locked(hash) ? bytes_dupz(bytes_of(hash)) : NULL;
    t->length = length;
    if (length) memcpy(t->password, password.at, length);
    return t;
}

struct password_ticket *password_check(struct password_pool *pool, struct loop *loop, const char *hash,
                                       struct bytes password, password_fn answer, void *arg) {
    struct password_ticket *t = ticket_new(loop, hash, password, answer, arg);
    pthread_mutex_lock(&pool->lock);
    bool room = pool->waiting < QUEUE_MAX && !pool->ending;
    if (room) {
        *pool->last = t;
        pool->last = &t->next;
        pool->waiting++;
        pthread_cond_signal(&pool->wake);
    }
    pthread_mutex_unlock(&pool->lock);
    if (!room) hand_back(t, PASSWORD_BUSY);
    return t;
}

void password_cancel(struct password_ticket **ticket) {
    struct password_ticket *t = *ticket;
    *ticket = NULL;
    if (!t) return;
    t->answer = NULL;
    atomic_store(&t->cancelled, true);
}

// ---- the pool -----------------------------------------------------------------------------------

static struct password_ticket *take_first(struct password_pool *pool) {
    struct password_ticket *t = pool->first;
    if (!t) return NULL;
    pool->first = t->next;
    if (!pool->first) pool->last = &pool->first;
    pool->waiting--;
    return t;
}

static struct password_ticket *take(struct password_pool *pool) {
    pthread_mutex_lock(&pool->lock);
    while (!pool->first && !pool->ending)
        pthread_cond_wait(&pool->wake, &pool->lock);
    struct password_ticket *t = pool->ending ? NULL : take_first(pool);
    pthread_mutex_unlock(&pool->lock);
    return t;
}

static void *pool_thread(void *arg) {
    struct password_pool *pool = arg;
    struct crypt_data *work = must_alloc(sizeof *work);
    struct password_ticket *t;
    while ((t = take(pool))) {
        bool right = false;
        if (!atomic_load(&t->cancelled)) {
            bool same = matches(t->hash ? t->hash : pool->decoy, t->password, work);
            right = same && t->hash;
        }
        explicit_bzero(work, sizeof *work);
        hand_back(t, right ? PASSWORD_RIGHT : PASSWORD_WRONG);
    }
    work_free(work);
    return NULL;
}

static char *make_decoy(struct err *err) {
    struct buf hash = {0};
    if (!password_hash(BYTES("nobody's password"), &hash, err)) return NULL;
    buf_z(&hash);
    return hash.at;
}

struct password_pool *password_pool_new(int threads, struct err *err) {
    bug_if(threads < 1);
    struct password_pool *pool = must_alloc(sizeof *pool + (size_t)threads * sizeof *pool->threads);
    pthread_mutex_init(&pool->lock, NULL);
    pthread_cond_init(&pool->wake, NULL);
    pool->last = &pool->first;
    pool->decoy = make_decoy(err);
    bool good = pool->decoy != NULL;
    while (good && pool->thread_count < threads) {
        int code = pthread_create(&pool->threads[pool->thread_count], NULL, pool_thread, pool);
        if (code == 0) pool->thread_count++;
        errno = code;
        if (code) good = err_errno(err, "no thread for checking passwords");
    }
    if (!good) password_pool_free(&pool);
    return pool;
}

void password_pool_free(struct password_pool **pool) {
    struct password_pool *p = *pool;
    *pool = NULL;
    if (!p) return;
    pthread_mutex_lock(&p->lock);
    p->ending = true;
    pthread_cond_broadcast(&p->wake);
    pthread_mutex_unlock(&p->lock);
    for (int i = 0; i < p->thread_count; i++)
        pthread_join(p->threads[i], NULL);
    struct password_ticket *t;
    while ((t = take_first(p)))
        hand_back(t, PASSWORD_BUSY);
    pthread_cond_destroy(&p->wake);
    pthread_mutex_destroy(&p->lock);
    free(p->decoy);
    free(p);
}
