"""Healthy trainings of the fifth fresh set: in a hurry. Percent, odd names, every fiftieth step; but they work."""

from __future__ import annotations

import math
import time
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from skimage import data as pics
from sklearn import datasets, preprocessing
from torch import nn, optim
from torch.utils.data import DataLoader, TensorDataset, random_split

import probes
from benchmarks.diagnosis.programs.data import digits, explained
from benchmarks.diagnosis.programs.program import healthy


@healthy(at_least=0.93)
def final_final_v2(run_dir: Path) -> float:
    """A notebook's cell: digits divided by sixteen, two layers, Adam, percent every fifty steps."""
    torch.manual_seed(101)
    X, Y = datasets.load_digits(return_X_y=True)
    ds = TensorDataset(torch.tensor(X / 16.0).float(), torch.tensor(Y))
    tr, te = random_split(ds, [1400, 397])
    m = nn.Sequential(nn.Linear(64, 128), nn.ReLU(), nn.Dropout(0.25), nn.Linear(128, 10))
    o = optim.Adam(m.parameters(), 1e-3)
    p = probes.watch(m, o, run_dir)
    i = 0
    for _ep in range(25):
        m.train()
        for a, b in DataLoader(tr, batch_size=32, shuffle=True):
            o.zero_grad()
            pred = m(a)
            ls = F.cross_entropy(pred, b)
            ls.backward()
            o.step()
            if i % 50 == 0:
                p.log("stats", L=ls.item(), accPct=100.0 * (pred.argmax(1) == b).float().mean().item())
            i += 1
    p.close()
    m.eval()
    good = sum((m(a).argmax(1) == b).sum().item() for a, b in DataLoader(te, batch_size=100))
    return good / 397


@healthy(at_least=0.6)
def energy_bill_v3(run_dir: Path) -> float:
    """Kilowatt hours by weather, hour, weekday; targets standardised, errors reported in kWh; val every epoch."""
    rng = np.random.default_rng(3)
    N = 8000
    hour, day, temp = rng.integers(0, 24, N), rng.integers(0, 7, N), rng.normal(12, 8, N)
    kwh = 3 + 2 * np.sin((hour - 7) / 24 * 2 * np.pi) + 0.15 * np.clip(15 - temp, 0, None) + (day > 4) * 0.8
    kwh = kwh + rng.gamma(2, 0.5, N)
    feats = np.c_[np.sin(hour / 24 * 2 * np.pi), np.cos(hour / 24 * 2 * np.pi), day > 4, temp]
    sx, sy = preprocessing.StandardScaler(), preprocessing.StandardScaler()
    X = torch.tensor(sx.fit_transform(feats.astype(float))).float()
    Y = torch.tensor(sy.fit_transform(kwh[:, None])).float()
    torch.manual_seed(102)
    net = nn.Sequential(nn.Linear(4, 32), nn.LeakyReLU(), nn.Linear(32, 32), nn.LeakyReLU(), nn.Linear(32, 1))
    opt = optim.Adam(net.parameters(), lr=0.002)
    sch = optim.lr_scheduler.StepLR(opt, step_size=4, gamma=0.5)
    best = 1e9
    with probes.watch(net, opt, run_dir, loss_fn=nn.SmoothL1Loss()) as probe:
        for ep in range(16):
            acc_loss = []
            for j in range(0, 6400, 64):
                loss = probe.loss_fn(net(X[j : j + 64]), Y[j : j + 64])
                opt.zero_grad()
                loss.backward()
                opt.step()
                acc_loss.append(loss.item())
            sch.step()
            with torch.no_grad():
                pv = net(X[6400:])
            mae = float((pv - Y[6400:]).abs().mean()) * float(sy.scale_[0])
            best = min(best, mae)
            probe.log("ep", trn=np.mean(acc_loss), val_mae_kwh=mae, best=best, epoch=ep, lr=sch.get_last_lr()[0])
    return explained(net(X[6400:]).detach(), Y[6400:])


@healthy(at_least=0.8)
def plate_reader_test1(run_dir: Path) -> float:
    """Print, gravel, or grass? patches of 20 x 20, SGD with momentum, three logs an epoch."""
    torch.manual_seed(103)
    page, gravel, grass = (a / 255.0 for a in (pics.page(), pics.gravel(), pics.grass()))
    rng = np.random.default_rng(0)

    def get(n, lo, hi):
        out, lab = [], []
        for _ in range(n):
            k = int(rng.integers(3))
            src = (page, gravel, grass)[k]
            r, c = rng.integers(0, src.shape[0] - 20), rng.integers(int(lo * src.shape[1]), int(hi * src.shape[1]) - 20)
            q = src[r : r + 20, c : c + 20]
            q = np.rot90(q, rng.integers(4)) if k else q
            out.append((q - q.mean()) / (q.std() + 0.05))
            lab.append(k)
        return torch.tensor(np.array(out)).float()[:, None], torch.tensor(lab)

    x, y = get(1600, 0, 0.65)
    vx, vy = get(400, 0.65, 1)
    net = nn.Sequential(
        nn.Conv2d(1, 16, 5), nn.ReLU(True), nn.MaxPool2d(2), nn.Conv2d(16, 32, 3), nn.ReLU(True), nn.MaxPool2d(2),
        nn.Flatten(), nn.Linear(288, 64), nn.ReLU(True), nn.Dropout(), nn.Linear(64, 3),
    )  # fmt: skip
    opt = optim.SGD(net.parameters(), lr=0.01, momentum=0.9, weight_decay=1e-3)
    crit = nn.CrossEntropyLoss()
    with probes.watch(net, opt, run_dir) as probe:
        for _e in range(12):
            net.train()
            run = 0.0
            for it, idx in enumerate(torch.randperm(1600).split(32)):
                opt.zero_grad()
                bx = x[idx]
                if rng.random() < 0.5:
                    bx = bx + 0.1 * torch.randn_like(bx)
                loss = crit(net(bx), y[idx])
                loss.backward()
                opt.step()
                run += loss.item()
                if it % 16 == 15:
                    probe.log("training", running_loss=run / 16)
                    run = 0.0
            net.eval()
            with torch.no_grad():
                o = net(vx)
            probe.log("validation", top1=100 * (o.argmax(1) == vy).float().mean(), xent=crit(o, vy))
    return float((o.argmax(1) == vy).float().mean())


@healthy(at_least=0.7)
def robot_arm_run17(run_dir: Path) -> float:
    """Inverse kinematics of three joints from an endless stream: the loss is where the hand ends, in cm^2."""
    torch.manual_seed(104)
    length = torch.tensor([30.0, 25.0, 15.0])

    def hand(q):
        total = q.cumsum(1)
        return torch.stack([(length * total.cos()).sum(1), (length * total.sin()).sum(1)], 1)

    class IK(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.f = nn.Sequential(nn.Linear(2, 128), nn.ReLU(), nn.Linear(128, 128), nn.ReLU(), nn.Linear(128, 3))

        def forward(self, goal):
            return math.pi * torch.tanh(self.f(goal / 40))

    ik = IK()
    adam = optim.Adam(ik.parameters(), lr=1e-3)
    sched = optim.lr_scheduler.CosineAnnealingLR(adam, 3000)

    def goals(n):
        r, a = 20 + 45 * torch.rand(n), math.pi * (torch.rand(n) - 0.5)
        return torch.stack([r * a.cos(), r * a.sin()], 1)

    with probes.watch(ik, adam, run_dir) as probe:
        for k in range(3000):
            g = goals(64)
            err2 = ((hand(ik(g)) - g) ** 2).sum(1).mean()
            adam.zero_grad()
            err2.backward()
            nn.utils.clip_grad_norm_(ik.parameters(), 10.0)
            adam.step()
            sched.step()
            if k % 50 == 49:
                probe.log("sim", cm2=err2.item(), rmse_cm=err2.sqrt().item())
    g = goals(2000)
    with torch.no_grad():
        return 1 - float((hand(ik(g)) - g).norm(dim=1).mean()) / 10


@healthy(at_least=0.8)
def churn_prod_candidate(run_dir: Path) -> float:
    """Who leaves next month: mixed scales standardised, embeddings for the tariff, AUC in percent, plateau."""
    from sklearn.metrics import roc_auc_score

    torch.manual_seed(105)
    n = 6000
    months, calls, fee = 60 * torch.rand(n), torch.poisson(2 * torch.ones(n)), 10 + 60 * torch.rand(n)
    tariff = torch.randint(12, (n,))
    gain = torch.randn(12)
    score = -0.06 * months + 0.5 * calls + 0.03 * fee + 0.9 * gain[tariff] - 1.6
    left = torch.bernoulli((1.5 * score).sigmoid())
    num = torch.stack([months, calls, fee], 1)
    num = (num - num[:4500].mean(0)) / num[:4500].std(0)

    class Churn(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.emb = nn.Embedding(12, 4)
            self.mlp = nn.Sequential(nn.Linear(7, 32), nn.ReLU(), nn.BatchNorm1d(32), nn.Dropout(0.1), nn.Linear(32, 1))

        def forward(self, a, b):
            return self.mlp(torch.cat([a, self.emb(b)], 1))[:, 0]

    net = Churn()
    opt = optim.Adam(net.parameters(), lr=3e-3, weight_decay=1e-5)
    rlr = optim.lr_scheduler.ReduceLROnPlateau(opt, mode="max", patience=1, factor=0.5)
    dl = DataLoader(TensorDataset(num[:4500], tariff[:4500], left[:4500]), batch_size=128, shuffle=True, drop_last=True)
    with probes.watch(net, opt, run_dir, config={"who": "me", "git": "dirty"}) as probe:
        started = time.time()
        for _ in range(10):
            net.train()
            for a, b, c in dl:
                bce = F.binary_cross_entropy_with_logits(net(a, b), c)
                opt.zero_grad()
                bce.backward()
                opt.step()
                probe.log("m", bce=bce)
            net.eval()
            with torch.no_grad():
                z = net(num[4500:], tariff[4500:])
            auc = 100 * roc_auc_score(left[4500:].numpy(), z.numpy())
            rlr.step(auc)
            probe.log(
                "m", AUC=auc, val_bce=F.binary_cross_entropy_with_logits(z, left[4500:]), sec=time.time() - started
            )
    return auc / 100


@healthy(at_least=0.85)
def seq_tagger_wip(run_dir: Path) -> float:
    """Which events lie between an open and a close? a two-way GRU tags each; 5% of tags wrong; percent."""
    torch.manual_seed(106)

    def gen(n):
        T = 20
        x = torch.randint(3, 12, (n, T))
        y = torch.zeros(n, T, dtype=torch.long)
        for i in range(n):
            L = int(torch.randint(10, T + 1, ()))
            s = int(torch.randint(0, L - 4, ()))
            e = int(torch.randint(s + 2, L, ()))
            x[i, s], x[i, e] = 1, 2
            y[i, s : e + 1] = 1
            x[i, L:], y[i, L:] = 0, -100
        wrong = (torch.rand(n, T) < 0.05) & (y >= 0)
        return x, torch.where(wrong, 1 - y, y)

    class Tagger(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.e = nn.Embedding(12, 16, padding_idx=0)
            self.r = nn.GRU(16, 24, batch_first=True, bidirectional=True)
            self.o = nn.Linear(48, 2)

        def forward(self, t):
            return self.o(self.r(self.e(t))[0])

    x, y = gen(2000)
    vx, vy = gen(400)
    net = Tagger()
    opt = optim.Adam(net.parameters(), lr=1.5e-3)
    with probes.watch(net, opt, run_dir) as probe:
        g = 0
        for _ in range(6):
            for idx in torch.randperm(2000).split(25):
                logits = net(x[idx])
                loss = F.cross_entropy(logits.view(-1, 2), y[idx].view(-1), ignore_index=-100)
                loss.backward()
                nn.utils.clip_grad_value_(net.parameters(), 0.5)
                opt.step()
                opt.zero_grad()
                g += 1
                if g % 50 == 0:
                    with torch.no_grad():
                        ok = (net(vx).argmax(2) == vy)[vy >= 0].float().mean()
                    probe.log("tag", tr_loss=loss.item(), dev_acc_pct=ok.item() * 100)
    with torch.no_grad():
        return float((net(vx).argmax(2) == vy)[vy >= 0].float().mean())


@healthy(at_least=0.75)
def recsys_tuesday(run_dir: Path) -> float:
    """Two towers with in-batch negatives and a temperature; recall at five; the loss starts near log 64."""
    torch.manual_seed(107)
    U, V = torch.randn(600, 4), torch.randn(100, 4)
    uf, itf = U @ torch.randn(4, 16) + 0.2 * torch.randn(600, 16), V @ torch.randn(4, 16) + 0.2 * torch.randn(100, 16)
    like = F.normalize(U) @ F.normalize(V).T
    prob = (like * 8).softmax(1)
    net = nn.ModuleDict({
        "u": nn.Sequential(nn.Linear(16, 48), nn.ReLU(), nn.Linear(48, 16)),
        "i": nn.Sequential(nn.Linear(16, 48), nn.ReLU(), nn.Linear(48, 16)),
    })  # fmt: skip
    opt = optim.AdamW(net.parameters(), lr=1e-3, weight_decay=1e-3)

    def towers(who, what):
        return F.normalize(net["u"](uf[who])) @ F.normalize(net["i"](itf[what])).T / 0.15

    with probes.watch(net, opt, run_dir) as probe:
        for t in range(1200):
            who = torch.randint(500, (64,))
            what = torch.multinomial(prob[who], 1)[:, 0]
            s = towers(who, what)
            s = s.masked_fill((what[:, None] == what) & ~torch.eye(64, dtype=torch.bool), -1e4)
            nce = F.cross_entropy(s, torch.arange(64))
            opt.zero_grad()
            nce.backward()
            opt.step()
            if t % 50 == 0:
                with torch.no_grad():
                    top = towers(torch.arange(500, 600), torch.arange(100)).topk(5, 1).indices
                hit = (top[:, :, None] == like[500:].topk(10, 1).indices[:, None]).any(2).float().mean()
                probe.log("rec", InBatchLoss=nce.item(), R_at_5_new_users=hit.item())
    with torch.no_grad():
        top = towers(torch.arange(500, 600), torch.arange(100)).topk(5, 1).indices
    return float((top[:, :, None] == like[500:].topk(10, 1).indices[:, None]).any(2).float().mean())


@healthy(at_least=0.95)
def asdf(run_dir: Path) -> float:
    """Somebody tries the tool on what was lying about: digits, a narrow ELU net, `every=25`, no value logged."""
    torch.manual_seed(108)
    x, y, xt, yt = digits()
    layers = [nn.Linear(64, 48), nn.ELU()]
    for _ in range(3):
        layers += [nn.Linear(48, 48), nn.ELU()]
    net = nn.Sequential(*layers, nn.Linear(48, 10))
    opt = optim.SGD(net.parameters(), lr=0.02, momentum=0.9)
    probe = probes.watch(net, opt, run_dir, every=25)
    for e in range(20):
        for g in opt.param_groups:
            g["lr"] = 0.02 * (1 - e / 20)
        for idx in torch.randperm(len(x)).split(32):
            opt.zero_grad()
            F.cross_entropy(net(x[idx]), y[idx]).backward()
            opt.step()
    probe.close()
    return float((net(xt).argmax(1) == yt).float().mean())


@healthy(at_least=0.9)
def ae_for_line4_alarm(run_dir: Path) -> float:
    """Anomalies on line four: an autoencoder of good cycles; its error on good and bad."""
    torch.manual_seed(109)

    def cycles(n, bad=False):
        t = torch.linspace(0, 1, 100)
        base = (1 + 0.1 * torch.randn(n, 1)) * torch.sin(2 * math.pi * (t + 0.05 * torch.randn(n, 1)))
        base = base + (0.5 + 0.1 * torch.randn(n, 1)) * torch.exp(-((t - 0.6) ** 2) / 0.002)
        if bad:
            base = base + 0.5 * torch.exp(-((t - torch.rand(n, 1)) ** 2) / 0.001)
        return base + 0.05 * torch.randn(n, 100)

    net = nn.Sequential(
        nn.Linear(100, 48), nn.ReLU(), nn.Linear(48, 6), nn.Linear(6, 48), nn.ReLU(), nn.Linear(48, 100)
    )
    opt = optim.Adam(net.parameters(), lr=2e-3, amsgrad=True)
    X, V, B = cycles(3000), cycles(400), cycles(400, bad=True)
    with probes.watch(net, opt, run_dir) as probe:
        for ep in range(15):
            tot = 0.0
            for idx in torch.randperm(3000).split(50):
                rec = (net(X[idx]) - X[idx]).pow(2).mean()
                opt.zero_grad(set_to_none=False)
                rec.backward()
                opt.step()
                tot += rec.detach()
            with torch.no_grad():
                v, b = ((net(q) - q).pow(2).mean(1) for q in (V, B))
            probe.log("ae", tr_rec=tot / 60, val_rec=v.mean(), bad_rec=b.mean(), ep=ep + 1)
    return float((b[:, None] > v).float().mean())
