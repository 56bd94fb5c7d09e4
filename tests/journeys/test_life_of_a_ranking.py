"""The life of one ranking: from an annotator's word to what the improved policy lays before the next annotator."""

from __future__ import annotations

import hashlib
import json
import re
from urllib.parse import quote

import pytest
import torch
from beginnings import LONG_PPO, PPO, REWARD_MODEL, SAMPLE, asked, is_old
from people import OVER, ranking
from playwright.sync_api import expect
from stack import eventually
from transformers import AutoModelForCausalLM, AutoModelForSequenceClassification, AutoTokenizer

from rewardmodel.scoring import Scorer
from training.lm import backbone

A_JOB_MS = 240_000

# --- At the API --------------------------------------------------------------------------------


def test_over_http(stack, project, signed_in, holding, tmp_path):
    ada, ben, lea, rhea = map(signed_in, ("ada", "ben", "lea", "rhea"))
    lease, word = a_ranking_that_is_recorded_once(ada, project, elsewhere=signed_in("ada"))
    schedule = lea.ask("POST", "schedules", 201, sampling_after_ppo(project))["id"]
    trained, reward = a_reward_model(lea, project)
    ppo, policy = an_improved_policy(lea, project, reward)
    sampling = lea.succeeded(eventually(lambda: started_by(lea, schedule), "PPO's end started the sampling"))
    assert (sampling["triggered_by"], sampling["inputs"]["policy"]) == (ppo["id"], policy["digest"])
    task = a_new_task(ben, project)

    researcher = holding(rhea.new_token())
    lines = downloaded(researcher, trained["inputs"]["rankings"])
    (kept,) = [line for line in lines if line["id"] == str(lease["task"]["id"])]
    assert what_was_said(kept) == [(shown(lease), {tuple(place.values()) for place in word["placements"]})]
    assert_it_answers_with_plain_transformers(bring_home(researcher, policy, tmp_path / "policy"))
    assert_it_scores_with_plain_transformers(bring_home(researcher, reward, tmp_path / "reward"), kept)

    # Why does the model say that? Response, checkpoint, datasets, rankings, annotators: each names the one before.
    latest = lea.succeeded(lea.start(project, "labeling.snapshot", {"what": "rankings"}))
    (bens,) = [line for line in downloaded(researcher, latest["output"]["digest"]) if line["id"] == str(task["id"])]
    assert {response["checkpoint"] for response in bens["responses"]} == {policy["digest"]}
    assert reward["id"] in [parent["id"] for parent in policy["parents"]]


def a_ranking_that_is_recorded_once(ada, project, *, elsewhere):
    """Steps 1 to 3: a lease, a draft that outlives the machine, a submission that may be sent twice, the next task."""
    lease = ada.lease(project)
    assert len(lease["task"]["responses"]) == 4
    ada.ask("PUT", f"leases/{lease['id']}/draft", 200, {"order": shown(lease)[:1]})
    (held,) = elsewhere.get(f"projects/{project}/leases?kind=ranking")
    assert (shown(held), held["draft"]) == (shown(lease), {"order": shown(lease)[:1]})
    word = ranking(lease["task"]["responses"])
    first = ada.ask("POST", f"leases/{lease['id']}/ranking", 201, word)
    assert elsewhere.ask("POST", f"leases/{lease['id']}/ranking", 200, word) == first
    following = ada.lease(project)
    assert following["task"]["id"] != lease["task"]["id"]
    ada.ask("POST", f"leases/{following['id']}/ranking", 201, ranking(following["task"]["responses"]))
    assert ada.get(f"projects/{project}/progress")["today"]["rankings"] == 2
    return lease, word


def a_reward_model(lea, project):
    """Steps 4 to 6: a snapshot is taken, the reward model learns from it, and its curve grows; job and checkpoint."""
    job = lea.start(project, "rewardmodel.train", REWARD_MODEL, rankings="snapshot")
    assert lea.job(job)["waits_for"]
    losses = watched(lea, job, "rm/loss")
    assert all(loss > 0 for _, loss in losses)
    trained = lea.succeeded(job)
    reward = lea.get(f"checkpoints/{trained['output']['checkpoint']}")
    assert reward["card"]["evaluation"]["reward_std"] > 0
    return trained, reward


def an_improved_policy(lea, project, reward):
    """Step 7: PPO against that reward model; job and checkpoint."""
    job = lea.start(project, "policy.ppo", PPO, reward=reward["digest"], prompts="snapshot")
    assert [step for step, _ in watched(lea, job, "ppo/kl")] == list(range(1, PPO["steps"] + 1))
    improved = lea.succeeded(job)
    policy = lea.get(f"checkpoints/{improved['output']['checkpoint']}")
    assert {parent["kind"] for parent in policy["parents"]} == {"policy", "reward"}
    return improved, policy


def a_new_task(ben, project):
    """Step 8: four responses of the new policy lie before Ben, blind, and he ranks them."""
    lease = next(lease for lease in leases(ben, project) if not is_old(lease["task"]["responses"]))
    assert set(lease) == {
        "id",
        "kind",
        "expires_at",
        "task",
        "draft",
        "draft_saved_at",
        "guidelines_version",
        "samples",
    }
    assert set(lease["task"]) == {"id", "prompt", "responses"}
    assert [set(response) for response in lease["task"]["responses"]] == [{"id", "text"}] * 4
    ben.ask("POST", f"leases/{lease['id']}/ranking", 201, ranking(lease["task"]["responses"]))
    return lease["task"]


def leases(person, project):
    """Every task that someone gets; each but the last is skipped."""
    while lease := person.lease(project):
        yield lease
        person.ask("POST", f"leases/{lease['id']}/skip", 204, {"reason": "another, please"})


def shown(lease):
    return [response["id"] for response in lease["task"]["responses"]]


def sampling_after_ppo(project):
    return {
        "project": project,
        "name": "Ask the people about the new policy",
        "kind": "policy.sample",
        "config": SAMPLE,
        "inputs": {"policy": {"trigger": True}, "prompts": "latest"},
        "trigger": {"type": "after", "kind": "policy.ppo"},
    }


def started_by(person, schedule):
    """The job that a schedule started last, once there is one."""
    last = person.get(f"schedules/{schedule}")["last_job"]
    return last and last["id"]


def watched(person, job, name):
    """One curve of a job, followed with the cursor to the job's end: each point comes once, in order."""
    points, cursor, is_over = [], 0, False

    def look():
        nonlocal cursor, is_over
        is_over = person.job(job)["state"] in OVER
        news = person.get(f"jobs/{job}/metrics?after={cursor}")
        cursor = news["cursor"]
        points.extend(news["series"].get(name, []))
        return is_over

    eventually(look, f"job {job} ended")
    assert points, f"{name} was never measured: {person.job(job)['error']}"
    assert points == sorted(points), "a point came twice, or out of order"
    return points


def downloaded(person, digest):
    """The lines of a dataset, fetched in two parts as a broken download goes on, their hash compared."""
    (dataset,) = [each for each in person.get("datasets?kind=rankings")["results"] if each["digest"] == digest]
    address = f"datasets/{dataset['id']}/download"
    whole = person.http.get(address)
    start = person.http.get(address, headers={"Range": "bytes=0-99"})
    rest = person.http.get(address, headers={"Range": "bytes=100-", "If-Range": start.headers["ETag"]})
    assert [whole.status_code, start.status_code, rest.status_code] == [200, 206, 206]
    assert start.content + rest.content == whole.content
    assert hashlib.sha256(whole.content).hexdigest() == rest.headers["X-Content-SHA256"]
    assert start.headers["ETag"] == f'"{digest}"'
    return [json.loads(line) for line in whole.text.splitlines()]


def what_was_said(line):
    """The order shown and the (response, rank, rating) of each word of a line."""
    return [
        (said["shown"], {(place["response"], place["rank"], place["rating"]) for place in said["placements"]})
        for said in line["judgements"]
    ]


def bring_home(person, checkpoint, folder):
    """Download every file of a checkpoint and compare its hash; the folder."""
    folder.mkdir()
    for file in checkpoint["files"]:
        answer = person.http.get(f"checkpoints/{checkpoint['id']}/files/{quote(file['name'])}")
        assert answer.status_code == 200
        assert hashlib.sha256(answer.content).hexdigest() == file["sha256"]
        (folder / file["name"]).write_bytes(answer.content)
    return folder


def assert_it_answers_with_plain_transformers(folder):
    tokenizer, policy = AutoTokenizer.from_pretrained(folder), AutoModelForCausalLM.from_pretrained(folder)
    messages = [{"role": "user", "content": asked("kite")}]
    prompt = tokenizer.apply_chat_template(messages, add_generation_prompt=True, return_tensors="pt", return_dict=True)
    with torch.no_grad():
        story = policy.generate(**prompt, do_sample=True, max_new_tokens=8)
    assert story.shape[1] > prompt["input_ids"].shape[1]


def assert_it_scores_with_plain_transformers(folder, line):
    """The raw logit of transformers is the score of our own scorer before it is normalised."""
    tokenizer = AutoTokenizer.from_pretrained(folder)
    model = AutoModelForSequenceClassification.from_pretrained(folder).float()
    ours = Scorer(*backbone.load_scorer(folder))
    texts = [response["text"] for response in line["responses"]]
    scores = ours.score([line["prompt"]], [texts])[0] * ours.std + ours.mean
    asked_for = tokenizer.apply_chat_template(line["prompt"], add_generation_prompt=True, tokenize=False)
    for text, score in zip(texts, scores.tolist(), strict=True):
        ids = tokenizer(asked_for + text + tokenizer.eos_token, add_special_tokens=False, return_tensors="pt")
        with torch.no_grad():
            assert float(model(**ids).logits[0, 0]) == pytest.approx(score, abs=1e-5)


# --- In the browser ----------------------------------------------------------------------------


@pytest.mark.browser
def test_in_the_browser(project, page_of, signed_in):
    ada = page_of("ada", project)
    ada = rank_by_keyboard_alone(ada)
    the_answer_is_lost_and_the_ranking_is_there_once(ada, signed_in("ada"), project)
    lea = page_of("lea", project)
    schedule_sampling_after_ppo(lea)
    start_a_reward_model(lea)
    start_ppo_and_see_it_learn(lea)
    ben = page_of("ben", project)
    see_the_new_task(ben, lea)


def card(page, letter):
    """A response on the rank page."""
    return page.get_by_role("listitem", name=re.compile(f"^Response {letter},"))


def rank_by_keyboard_alone(ada):
    """Steps 1 and 2: letters, digits and `=`; what was said survives that the page is closed."""
    ada.get_by_role("link", name="Rank").first.click()
    expect(ada.get_by_role("list", name="Responses, best first")).to_be_attached()
    for key in "b6d4":
        ada.keyboard.press(key)
    expect(card(ada, "B")).to_have_accessible_name("Response B, 1st, rated 6 of 7")
    expect(card(ada, "D")).to_have_accessible_name("Response D, 2nd, rated 4 of 7")
    expect(ada.get_by_text(re.compile(r"^Saved \d\d:\d\d$"))).to_be_visible()
    address, context = ada.url, ada.context
    texts = card(ada, "B").inner_text()
    ada.close()
    ada = context.new_page()
    with ada.expect_response(lambda answer: answer.request.method == "POST" and answer.url.endswith("/leases")):
        ada.goto(address)
    expect(card(ada, "B")).to_have_accessible_name("Response B, 1st, rated 6 of 7")
    expect(card(ada, "D")).to_have_accessible_name("Response D, 2nd, rated 4 of 7")
    assert card(ada, "B").inner_text() == texts
    for key in "a4=c1":
        ada.keyboard.press(key)
    expect(card(ada, "A")).to_have_accessible_name("Response A, 2nd, tied, rated 4 of 7")
    expect(card(ada, "C")).to_have_accessible_name("Response C, 3rd, rated 1 of 7")
    return ada


def the_answer_is_lost_and_the_ranking_is_there_once(ada, at_the_api, project):
    """Step 3: Enter brings the next task before the server has spoken; its answer is lost, and it is sent again."""
    first = ada.get_by_role("region", name="Prompt").inner_text()
    held = []
    ada.route("**/api/v1/leases/*/ranking", lambda route: held.append(route))  # noqa: PLW0108 (Playwright marks what it is given)
    ada.keyboard.press("Enter")
    expect(ada.get_by_role("region", name="Prompt")).not_to_have_text(first)
    ada.keyboard.press("Enter")
    expect(ada.get_by_role("alert")).to_have_text("Responses A, B, C and D have no place yet.")
    eventually(lambda: ada.wait_for_timeout(10) or held, "the ranking was sent")
    assert held[0].fetch().status == 201
    held[0].abort()
    expect(ada.get_by_text("1 on the way")).to_be_visible()
    ada.unroute_all()
    with ada.expect_response("**/api/v1/leases/*/ranking") as again:
        ada.evaluate("window.dispatchEvent(new Event('online'))")
    assert again.value.status == 200
    expect(ada.get_by_text("1 today")).to_be_visible()
    assert at_the_api.get(f"projects/{project}/progress")["today"]["rankings"] == 1


def open_form(lea, place, button, kind):
    """Go to a place by its tab, open its form and choose a kind of job."""
    lea.get_by_role("navigation", name="Pages").get_by_role("link", name=place).click()
    lea.get_by_role("link", name=button).first.click()
    choice = lea.get_by_role("radio", name=kind)
    choice.click()
    expect(choice).to_be_checked()


def set_to(lea, config):
    """Type settings into the form."""
    lea.get_by_text(re.compile(r"^Settings ")).click()
    for name, value in config.items():
        lea.get_by_label(name.replace("_", " ").capitalize(), exact=True).fill(str(value))


def schedule_sampling_after_ppo(lea):
    open_form(lea, "Schedules", "New schedule", "Sample responses")
    lea.get_by_label("Name", exact=True).fill("Ask the people")
    lea.get_by_role("radio", name="After a job").check()
    lea.get_by_label("Kind of job").select_option("Improve with PPO")
    lea.get_by_label("Policy", exact=True).select_option("The output of the job that fires this")
    set_to(lea, SAMPLE)
    lea.get_by_role("button", name="Create").click()
    expect(lea.get_by_role("link", name="Ask the people")).to_be_visible()


def start_a_reward_model(lea):
    """Steps 4 to 6, with every input as the form proposes it."""
    open_form(lea, "Jobs", "Start a job", "Train a reward model")
    set_to(lea, REWARD_MODEL)
    lea.get_by_role("button", name="Start").click()
    expect(lea.get_by_role("heading", name=re.compile(r"^Train a reward model #\d+$"))).to_be_visible()
    expect(lea.get_by_text("✓ done")).to_be_visible(timeout=A_JOB_MS)
    expect(lea.get_by_role("slider", name="Loss: read along the steps").first).to_be_visible()


def start_ppo_and_see_it_learn(lea):
    """Step 7: the curve grows before one's eyes."""
    open_form(lea, "Jobs", "Start a job", "Improve with PPO")
    set_to(lea, LONG_PPO)
    lea.get_by_role("button", name="Start").click()
    curve = lea.get_by_role("slider", name="KL: read along the steps", exact=True)
    expect(curve).to_be_visible(timeout=A_JOB_MS)
    first = int(curve.get_attribute("aria-valuemax"))
    assert first < LONG_PPO["steps"], "the whole curve came at once"
    expect(curve).not_to_have_attribute("aria-valuemax", str(first))
    expect(lea.get_by_text("✓ done")).to_be_visible(timeout=A_JOB_MS)
    expect(curve).to_have_attribute("aria-valuemax", str(LONG_PPO["steps"]))


def see_the_new_task(ben, lea):
    """Step 8: sampling starts by itself, and what it wrote lies before Ben without a word of who wrote it."""
    lea.get_by_role("navigation", name="Pages").get_by_role("link", name="Jobs").click()
    sampling = lea.get_by_role("row").filter(has_text="Ask the people")
    expect(sampling).to_contain_text("✓ done", timeout=A_JOB_MS)
    ben.get_by_role("link", name="Rank").first.click()
    responses = ben.get_by_role("list", name="Responses, best first").get_by_role("listitem")
    expect(responses).to_have_count(4)
    assert not is_old([{"text": text} for text in responses.all_inner_texts()])
    assert not re.search(r"ppo|sha256|checkpoint", ben.content(), re.IGNORECASE)
